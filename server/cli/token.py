"""``liveavatar token``: asks a running server for a short-lived credential, as a page's backend would."""

import argparse
from typing import TYPE_CHECKING, Any

from server.cli.command import OK, CommandFailed, CommandParser, whole_number
from server.cli.server_address import default_url, is_local, key_for, own_values, websocket_url
from server.cli.terminal import complain

if TYPE_CHECKING:
    from server.cli.command import Commands
    from server.secret import Secret

NAME = "token"
SUMMARY = "Get a ticket or client secret for a page or a test."

_TIMEOUT_S = 10.0
# An answer is a few hundred bytes, but repeats the instructions it was given.
_MAX_ANSWER_BYTES = 1024 * 1024
_PATHS = {True: "/api/tickets", False: "/v1/realtime/client_secrets"}

_DESCRIPTION = """\
Ask a running server for a short-lived credential, with a key that has the scope
mint, and print it: a client secret (ek_...), which opens sessions until it
expires, or with --ticket a ticket (tk_...), which opens one WebSocket to /ws
within a minute.
"""

_EPILOG = """\
examples:
  liveavatar token --kb museum
  liveavatar token --ticket --origin https://shop.example
  LIVEAVATAR_API_KEY=... liveavatar token --url wss://avatar.example.org --seconds 3600
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar token [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--ticket", action="store_true", help="a single-use ticket for /ws")
    parser.add_argument(
        "--kb", action="append", metavar="KB", dest="kb_ids", help="a knowledge base it is for (default: the key's)"
    )
    parser.add_argument("--instructions", metavar="TEXT", help="the persona, in place of the knowledge base's own")
    parser.add_argument("--origin", metavar="URL", help="the only origin whose pages may use it")
    parser.add_argument("--seconds", type=whole_number(1), metavar="N", help="how long it can be used")
    parser.add_argument("--url", type=websocket_url, help="the server (default: this machine's, at the port of PORT)")
    parser.add_argument(
        "--key", help="a key of the server; better in LIVEAVATAR_API_KEY, as others can see a command line"
    )
    parser.add_argument("--json", action="store_true", help="print the server's whole answer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, and print what came."""
    import msgspec

    values = own_values()
    url = args.url or default_url(values)
    key = key_for(args.key, args.url, values)
    if key is not None and url.startswith("ws://") and not is_local(url):
        complain("The key travels in the clear: use wss:// where others could listen.")
    body = msgspec.json.encode(_wish(args))
    answer = _asked(url, _PATHS[args.ticket], key, body)
    print(msgspec.json.encode(answer).decode() if args.json else answer["ticket" if args.ticket else "value"])
    return OK


def _wish(args: argparse.Namespace) -> dict[str, Any]:
    wish: dict[str, Any] = {}
    if args.kb_ids:
        wish["kb_ids"] = args.kb_ids
    if args.origin:
        wish["origin"] = args.origin
    if args.seconds:
        expiry = {"expires_after_s": args.seconds}
        wish.update(expiry if args.ticket else {"expires_after": {"anchor": "created_at", "seconds": args.seconds}})
    if args.instructions:
        told = {"instructions": args.instructions}
        wish.update(told if args.ticket else {"session": {"type": "realtime", **told}})
    return wish


def _asked(url: str, path: str, key: "Secret | None", body: bytes) -> dict[str, Any]:
    """The server's answer. Raises `CommandFailed` where that is none, or a refusal."""
    import http.client
    import ssl
    from urllib.parse import urlsplit

    import msgspec

    from server.cli.endings import handshake_refused, shown_url
    from server.transport.errors import HandshakeRefused

    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        if parts.scheme == "wss"
        else http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
    )
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read(_MAX_ANSWER_BYTES)
    except ConnectionRefusedError:
        text = f"Nothing listens at {shown_url(url)}: start it with `make run` or `liveavatar serve`."
        raise CommandFailed(text) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandFailed(f"{shown_url(url)} cannot be asked: {type(error).__name__}.") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise CommandFailed(handshake_refused(HandshakeRefused(answer.status, dict(answer.getheaders()), content), url))
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        raise CommandFailed(f"What answers at {shown_url(url)} is no LiveAvatar server.") from None
