"""The public keys of an issuer of tokens, fetched and kept. It checks no token, and asks no address that a token names.

``run`` alone fetches, one document at a time; whoever needs a key that is not there waits for that, for a while.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jwt
import msgspec
import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from server.security.base import Fetch, FetchFailed

__all__ = ["ALGORITHMS", "IssuerKey", "IssuerKeys", "IssuerUnavailable", "PublicKey"]

_log = structlog.get_logger("liveavatar.security")

_T = TypeVar("_T")

PublicKey = RSAPublicKey | EllipticCurvePublicKey

# What each kind of key may have signed. Public keys only: nothing that the issuer publishes can sign.
_RSA, _EC = ("RS256", "PS256"), ("ES256",)
ALGORITHMS = (*_RSA, *_EC)

# Seconds after which keys are fetched anew, so that one which the issuer has withdrawn stops counting.
REFRESH_S = 3600.0
# A token with a key id that nobody knows makes us ask the issuer, and strangers make such tokens as they like.
UNKNOWN_S = 60.0
# While there are no keys at all, people are waiting; the issuer is not asked more often than this.
RETRY_S = 5.0
# How long a check waits for keys that are being fetched: less than a client waits for its handshake.
WAIT_S = 5.0

# Issuers have two or three keys; Entra has had eight.
MAX_KEYS = 64
MAX_KID_CHARS = 512
MAX_DOCUMENT_BYTES = 512 * 1024
# RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used"; a far larger one is nobody's, and slow.
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192

# All tries to fetch together; the transport's own waits are shorter.
FETCH_S = 20.0

_PUBLIC_MEMBERS = frozenset({"kty", "n", "e", "crv", "x", "y"})
_DISCOVERY = "/.well-known/openid-configuration"


class IssuerUnavailable(Exception):
    """There are no keys to check with, because the issuer could not be asked."""


class IssuerKey(msgspec.Struct, frozen=True):
    """A public key, and the algorithms that it may have signed by."""

    key: PublicKey
    algorithms: tuple[str, ...]


class _Configuration(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


class IssuerKeys:
    """The keys of one issuer. While it cannot be asked, those that are known stay.

    Args:
        issuer: its name, as it stands in tokens.
        jwks_url: where its keys are; None: where its own openid-configuration says.
        fetch: fetches a document.
        is_safe: says whether an address may be asked; the one that the issuer's configuration names must be, too.
    """

    def __init__(self, issuer: str, jwks_url: str | None, fetch: Fetch, *, is_safe: Callable[[str], bool]) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._fetch = fetch
        self._is_safe = is_safe
        self._keys: dict[str, IssuerKey] = {}
        self._asked_at = -math.inf
        # Set: the keys are wanted, or being fetched. `_answered` is set when that is over.
        self._wanted = trio.Event()
        self._wanted.set()
        self._answered = trio.Event()

    async def find(self, kid: str) -> IssuerKey | None:
        """The key of this id, at once where it is known; None if the issuer has none.

        Raises:
            IssuerUnavailable: no key of the issuer is known.
        """
        if (key := self._keys.get(kid)) is not None:
            return key
        pause_s = UNKNOWN_S if self._keys else RETRY_S
        if trio.current_time() >= self._asked_at + pause_s:
            self._wanted.set()
        if self._wanted.is_set():
            with trio.move_on_after(WAIT_S):
                await self._answered.wait()
        if not self._keys:
            raise IssuerUnavailable(self._issuer)
        return self._keys.get(kid)

    async def run(self) -> None:
        """Fetches the keys: at once, when one is missing, and every hour; until cancelled."""
        while True:
            with trio.move_on_after(REFRESH_S):
                await self._wanted.wait()
            self._wanted.set()
            self._asked_at = trio.current_time()
            try:
                await self._refresh()
            except Exception:  # noqa: BLE001 - what an issuer publishes must not end a server that has keys
                _log.exception("the keys of the token issuer cannot be read", issuer=self._issuer, kept=len(self._keys))
            self._wanted = trio.Event()
            answered, self._answered = self._answered, trio.Event()
            answered.set()

    async def _refresh(self) -> None:
        try:
            with trio.move_on_after(FETCH_S) as fetching:
                keys = await self._fetched()
            if fetching.cancelled_caught:
                raise FetchFailed(f"it does not answer within {FETCH_S:g} s")
        except FetchFailed as failure:
            _log.warning(
                "the keys of the token issuer cannot be had",
                issuer=self._issuer,
                error=str(failure),
                kept=len(self._keys),
            )
            return
        if keys.keys() != self._keys.keys():
            _log.info("keys of the token issuer", issuer=self._issuer, keys=len(keys))
        self._keys = keys

    async def _fetched(self) -> dict[str, IssuerKey]:
        url = self._jwks_url
        if url is None:
            configuration = _decoded(await self._fetch(self._issuer.rstrip("/") + _DISCOVERY), _Configuration)
            # OpenID Connect Discovery 1.0, 4.3: it "MUST exactly match".
            if configuration.issuer != self._issuer:
                raise FetchFailed("its openid-configuration is that of another issuer")
            url = configuration.jwks_uri
            if not self._is_safe(url):
                raise FetchFailed("its openid-configuration names keys at an address that is not https")
        document = _decoded(await self._fetch(url), _Document)
        keys: dict[str, IssuerKey] = {}
        for entry in document.keys[:MAX_KEYS]:
            kid = entry.get("kid")
            if isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS and (key := _usable(entry)) is not None:
                keys[kid] = key
        if not keys:
            raise FetchFailed("there is no key that can be used among its keys")
        return keys


def _decoded(document: bytes, kind: type[_T]) -> _T:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise FetchFailed(f"its answer is longer than {MAX_DOCUMENT_BYTES} bytes")
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise FetchFailed("its answer is not what it must be") from None


def _usable(entry: dict[str, Any]) -> IssuerKey | None:
    """The key that an entry holds, if it is one for signatures that are accepted here."""
    allowed = {"RSA": _RSA, "EC": _EC}.get(str(entry.get("kty")), ())
    named = entry.get("alg")
    algorithms = tuple(name for name in allowed if named in (None, name))
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if not algorithms or entry.get("use", "sig") != "sig":
        return None
    try:
        # Without the private part, should an issuer publish it by mistake.
        public = {name: value for name, value in entry.items() if name in _PUBLIC_MEMBERS}
        key = jwt.PyJWK(public, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey):
        return IssuerKey(key, algorithms) if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return IssuerKey(key, algorithms) if isinstance(key.curve, SECP256R1) else None
    return None
