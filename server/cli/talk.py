"""``liveavatar talk``: asks an avatar from the terminal, once or in a chat."""

import argparse
import ipaddress
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from server.cli.command import DEFAULT_PORT, ENV_FILE, FAILED, OK, CommandFailed, CommandParser, run_async, seconds
from server.cli.terminal import complain

if TYPE_CHECKING:
    from server.cli.command import Commands
    from server.secret import Secret

NAME = "talk"
SUMMARY = "Ask an avatar something, or chat with it."

_DEFAULT_HOST, _PATH = "127.0.0.1", "/ws"
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not listened on
_DEFAULT_TIMEOUT_S = 30.0
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

_DESCRIPTION = """\
Ask an avatar a question and print its answer as it comes, the sources that the
answer rests on, how long it took and what it cost in tokens. Without a question
it is a chat, line by line: /quit, Ctrl-D or Ctrl-C ends it, and a line typed
while the avatar still speaks interrupts it.
"""

_EPILOG = """\
examples:
  liveavatar talk --kb museum "When does it open?"
  liveavatar talk --kb museum
  liveavatar talk "What can you do?" --wav answer.wav
  printf 'When does it open?\\nAnd on Mondays?\\n' | liveavatar talk --kb museum
  LIVEAVATAR_API_KEY=... liveavatar talk --url wss://avatar.example.org/ws
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar talk [QUESTION] [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("question", metavar="QUESTION", nargs="?", help="what to ask; without it: a chat")
    parser.add_argument("--kb", metavar="KB", help="the knowledge base (default: the server's own default)")
    parser.add_argument(
        "--url", type=_websocket_url, help="the server (default: ws://127.0.0.1:8000/ws, or the port that PORT says)"
    )
    parser.add_argument("--wav", metavar="FILE", help="write the spoken answer to a WAV file")
    parser.add_argument("--json", action="store_true", help="print every event of the server as a line of JSON instead")
    parser.add_argument("--json-audio", action="store_true", help="as --json, with the sound in full")
    parser.add_argument(
        "--key", help="the server's API key; better in LIVEAVATAR_API_KEY, as others can see a command line"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_DEFAULT_TIMEOUT_S,
        metavar="S",
        help=f"longest wait for a connection, and for the next sign of an answer (default {_DEFAULT_TIMEOUT_S:g} s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Talk; fails if a question was not answered."""
    if args.question is not None and not args.question.strip():
        raise CommandFailed("The question is empty.")
    values = _own_values()
    url = args.url or _default_url(values)
    key = _key(args.key, args.url, values)
    if key is not None and url.startswith("ws://") and not _is_local(url):
        complain("The key travels in the clear: use wss:// where others could listen.")
    return run_async(lambda: _talk(args, url, key))


async def _talk(args: argparse.Namespace, url: str, key: "Secret | None") -> int:
    from contextlib import ExitStack

    from server.cli.avatar_connection import connect_avatar
    from server.cli.chat import Chat
    from server.cli.sound_file import SoundFile
    from server.cli.talk_output import EventOutput, Output, TextOutput
    from server.cli.typed_lines import OneLine, TypedLines

    chatting = args.question is None
    at_terminal = chatting and sys.stdin.isatty()
    output: Output
    if args.json or args.json_audio:
        output = EventOutput(audio=args.json_audio)
    else:
        output = TextOutput(chatting=chatting, echo=chatting and not at_terminal)
    lines = TypedLines(sys.stdin.fileno()) if chatting else OneLine(args.question)
    with ExitStack() as stack:
        sound = stack.enter_context(SoundFile(args.wav)) if args.wav else None
        async with connect_avatar(url, kb_id=args.kb, key=key, timeout_s=args.timeout) as connection:
            chat = Chat(connection, output, sound, timeout_s=args.timeout)
            await chat.run(lines, interrupting=at_terminal)
    return OK if not chat.unanswered else FAILED


def _websocket_url(text: str) -> str:
    """The URL of an avatar endpoint, from whatever people call a server by."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is no URL: {error}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise argparse.ArgumentTypeError("must look like ws://127.0.0.1:8000/ws or wss://avatar.example.org/ws")
    path = parts.path if parts.path not in ("", "/") else _PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def _own_values() -> dict[str, str]:
    """The ``.env`` file's values. Not all settings are loaded: whoever only talks needs none of the server's."""
    from pathlib import Path

    from server.settings import read_env_file

    return read_env_file(Path(ENV_FILE), [])


def _default_url(values: dict[str, str]) -> str:
    host = os.environ.get("LIVEAVATAR_HOST") or values.get("LIVEAVATAR_HOST", "")
    port = os.environ.get("PORT") or values.get("PORT") or str(DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CommandFailed(f"PORT is {port!r}, which is no port to connect to: say where the server is with --url.")
    host = _DEFAULT_HOST if host in _EVERY_ADDRESS else host
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}{_PATH}"


def _key(given: str | None, url: str | None, values: dict[str, str]) -> "Secret | None":
    """The key to present. That of a ``.env`` file belongs to the server beside it, and is told to no other."""
    from server.secret import Secret

    key = given or os.environ.get("LIVEAVATAR_API_KEY")
    if not key and (url is None or _is_local(url)):
        key = values.get("LIVEAVATAR_API_KEY")
    return Secret(key) if key else None


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
