"""The HTTP transport under Azure's client libraries, over httpx: runs under Trio, can be cancelled, keeps connections.

The only module that names httpx. The libraries' own transports are no choice here: the default one needs asyncio, and
the one for Trio works in threads, which cannot be cancelled. It tries nothing again: whoever asks does.
"""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlsplit

import httpx  # noqa: ASYNC127 - the last release, and this module is all that would change with another
import trio
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.rest._http_response_impl_async import AsyncHttpResponseImpl

# Seconds for a connection to come about and for the next byte of an answer. Whoever asks has a deadline of its own
# besides; these end a wait that nobody bounds.
CONNECT_S = 10.0
READ_S = 30.0
# Azure closes idle connections after about four minutes (its load balancers' default); ours are let go of before.
KEEP_ALIVE_S = 120.0
# The largest answer that is wanted of any of these services is a page of search results with its passages.
MAX_RESPONSE_BYTES = 16 * 1024 * 1024


class HttpxTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Sends the requests of Azure's client libraries; see ``AsyncHttpTransport``. Shared by many clients.

    An answer is read whole before ``send`` returns, and then its connection is free again. Cancelling ``send`` closes
    the request's connection. No request has a thread; only Trio looks up a host's name in one, for a new connection.

    Redirects are not followed, and the libraries' own redirect policy does not learn where one leads: it would carry
    an ``api-key`` header to whatever host that is. Cookies are not kept, for many clients share this.

    The proxy of the environment (``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``) is used, except for
    loopback and link-local addresses: there the host's own identity service gives out tokens to whoever asks, and the
    proxy is another host.

    Args:
        max_connections: connections open at once, to all hosts together; further requests wait for one. Those to
            loopback and link-local addresses are counted apart.
        ssl_context: whom to trust; by default what the system does.
    """

    def __init__(self, *, max_connections: int, ssl_context: ssl.SSLContext | None = None) -> None:
        # A context of its own: httpx sets what is negotiated in TLS on the one it is given.
        trust = ssl_context or ssl.create_default_context()
        self._client = _client(max_connections, trust, use_proxy=True)
        self._local = _client(max_connections, trust, use_proxy=False)

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """Sends a request and reads its answer.

        Raises:
            ServiceRequestError: it was not sent, so trying again does no harm.
            ServiceResponseError: it was sent, and no whole answer came.
        """
        read_s = options.get("read_timeout", READ_S)
        body = request.content
        try:
            async with self._client_for(request.url).stream(
                request.method,
                request.url,
                headers=request.headers,
                # The identity libraries hand over forms as mappings.
                data=body if isinstance(body, dict) else None,
                content=None if isinstance(body, dict) else body,
                timeout=httpx.Timeout(read_s, connect=options.get("connection_timeout", CONNECT_S)),
            ) as answer:
                content = await _whole(answer)
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceRequestTimeoutError(_text(error), error=error) from error
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.ProxyError) as error:
            raise ServiceRequestError(_text(error), error=error) from error
        except UnicodeError as error:
            # A name that no resolver can be asked for; httpx and Trio let it through as it is.
            raise ServiceRequestError(_text(error), error=error) from error
        except httpx.TimeoutException as error:
            raise ServiceResponseTimeoutError(_text(error), error=error) from error
        except httpx.HTTPError as error:
            raise ServiceResponseError(_text(error), error=error) from error
        response = AsyncHttpResponseImpl(
            request=request,
            internal_response=_Closed(),
            status_code=answer.status_code,
            reason=answer.reason_phrase,
            content_type=answer.headers.get("content-type"),
            headers=httpx.Headers(
                [(name, value) for name, value in answer.headers.multi_items() if name != "location"]
            ),
            stream_download_generator=_pieces(content),
        )
        await response.read()
        return response

    def _client_for(self, url: str) -> httpx.AsyncClient:
        return self._local if _is_on_this_host(url) else self._client

    async def open(self) -> None:
        """Nothing is opened before the first request."""

    async def close(self) -> None:
        """Nothing: clients close their transport, and others use this one. See ``aclose``."""

    async def aclose(self) -> None:
        """Closes all connections. Nothing can be sent afterwards."""
        await self._client.aclose()
        await self._local.aclose()

    async def sleep(self, duration: float) -> None:
        """The wait between the libraries' own retries, on Trio's clock."""
        await trio.sleep(duration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing; see ``close``."""


def _client(max_connections: int, trust: ssl.SSLContext, *, use_proxy: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=trust,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=KEEP_ALIVE_S
        ),
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=use_proxy,
    )


def _is_on_this_host(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        # httpx says so when it is asked.
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local


class _Closed:
    """What is left of an answer that was read whole."""

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def _pieces(content: bytes) -> Any:
    async def stream(**_: Any) -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield content

    return stream


async def _whole(answer: httpx.Response) -> bytes:
    content = bytearray()
    # Left by a cancel, not by a break or an exception: httpx stacks half a dozen generators, and closes those that are
    # left in the middle only when they are collected. A cancel unwinds them from the inside.
    with trio.CancelScope() as reading:
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > MAX_RESPONSE_BYTES:
                content.clear()
                reading.cancel()
    if reading.cancel_called:
        raise ServiceResponseError(f"The answer is longer than {MAX_RESPONSE_BYTES} bytes.")
    return bytes(content)


def _text(error: BaseException) -> str:
    """What an error says, or what it came of: those of httpx and Trio say nothing of a certificate themselves."""
    cause: BaseException | None = error
    while cause is not None:
        if str(cause):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
