"""``liveavatar talk``: asks an avatar from the terminal, once or in a chat."""

import argparse
import sys
from typing import TYPE_CHECKING

from server.cli.command import FAILED, OK, CommandFailed, CommandParser, run_async, seconds
from server.cli.server_address import default_url, is_local, key_for, own_values, websocket_url
from server.cli.terminal import complain

if TYPE_CHECKING:
    from server.cli.command import Commands
    from server.secret import Secret

NAME = "talk"
SUMMARY = "Ask an avatar something, or chat with it."

_DEFAULT_TIMEOUT_S = 30.0

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
        "--url", type=websocket_url, help="the server (default: ws://127.0.0.1:8000/ws, or the port that PORT says)"
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
    values = own_values()
    url = args.url or default_url(values)
    key = key_for(args.key, args.url, values)
    if key is not None and url.startswith("ws://") and not is_local(url):
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
