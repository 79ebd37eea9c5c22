"""``liveavatar simulate``: a Realtime service of our own on a port, for trying, testing and load without an account."""

import argparse
import sys
from typing import TYPE_CHECKING

from server.cli.command import (
    OK,
    CommandFailed,
    CommandParser,
    not_negative,
    port_number,
    run_async,
    seconds,
    sentence,
    whole_number,
)
from server.cli.terminal import dim

if TYPE_CHECKING:
    from server.cli.command import Commands
    from server.simulator.settings import SimulatorSettings

NAME = "simulate"
SUMMARY = "Start a simulated Realtime service, with faults on request."

# Nobody's default port, and near enough to the server's own to be remembered.
_DEFAULT_PORT = 8100

_DESCRIPTION = """\
Start a simulator of the OpenAI and Azure OpenAI Realtime API. It is what the
server talks to when no account is set; here it stands alone, for tests of any
Realtime client. It answers by rule, not by a model, and it can misbehave on
purpose: delays, drops, refusals, errors, by script or by chance.
"""

_EPILOG = """\
a script of faults (TOML, or JSON with the same keys):
  [[faults]]
  when = "response.output_audio.delta"   # or "handshake", or any event's type
  nth = 3                                # its third one; 0 is every one
  do = "drop"                            # delay, stall, drop, reset, close, http,
                                         # error, malformed, unknown, duplicate,
                                         # swap, late, mute, no_response, expire, ...

examples:
  liveavatar simulate
  liveavatar simulate --port 9100 --key test-key --max-duration 60
  liveavatar simulate --service azure --model my-deployment --tls-cert cert.pem --tls-key key.pem
  liveavatar simulate --faults drops.toml --seed 7
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar simulate [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    where = parser.add_argument_group("where it listens and whom it lets in")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    where.add_argument(
        "--port",
        type=port_number,
        default=_DEFAULT_PORT,
        help=f"port to listen on (default {_DEFAULT_PORT}); 0 takes a free one",
    )
    where.add_argument(
        "--service",
        choices=("azure", "openai", "both"),
        default="both",
        help="whose paths and manners it has (default both, each at its own path)",
    )
    where.add_argument("--key", help="key that clients must present (default: everyone is let in)")
    where.add_argument(
        "--tokens",
        metavar="FILE",
        help="bearer tokens, one a line, that Azure's path takes for Entra's; read every time",
    )
    where.add_argument(
        "--model",
        action="append",
        default=[],
        help="a model (Azure: deployment) that exists; may be repeated (default: every name does)",
    )
    where.add_argument(
        "--max-connections", type=whole_number(1), metavar="N", help="open connections; one more gets HTTP 429"
    )
    where.add_argument(
        "--quota", type=whole_number(1), metavar="N", help="sessions a minute; one more gets HTTP 429 and Retry-After"
    )
    where.add_argument(
        "--tls-cert", metavar="FILE", help="certificate chain, PEM: serves wss://, together with --tls-key"
    )
    where.add_argument("--tls-key", metavar="FILE", help="the certificate's private key, PEM")
    how = parser.add_argument_group("how it answers")
    how.add_argument(
        "--voice",
        choices=("auto", "espeak", "synthetic"),
        default="auto",
        help="what speaks (default auto: eSpeak NG where it is installed)",
    )
    how.add_argument("--session-voice", metavar="NAME", help="voice that sessions name until they choose (alloy)")
    how.add_argument(
        "--pace", type=not_negative, metavar="X", help="sound is sent X times faster than speech; 0 at once (default)"
    )
    how.add_argument("--think-ms", type=whole_number(0), metavar="MS", help="time before an answer begins (default 0)")
    # The second name is the older one.
    how.add_argument(
        "--max-duration",
        "--session-seconds",
        type=seconds,
        metavar="SECONDS",
        help="longest session (default as the service's: azure 1800, openai 3600)",
    )
    how.add_argument(
        "--context-tokens", type=whole_number(1), metavar="N", help="how much of a conversation an answer can see"
    )
    how.add_argument("--token-limit", type=whole_number(1), metavar="N", help="tokens per minute that it reports")
    how.add_argument("--seed", type=int, metavar="N", help="makes ids repeatable")
    wrong = parser.add_argument_group("what goes wrong")
    wrong.add_argument("--faults", metavar="FILE", help="script of faults, TOML or JSON; see below")
    wrong.add_argument(
        "--random-faults", type=int, metavar="SEED", help="three faults at random, the same for the same seed"
    )
    wrong.add_argument(
        "--ping-seconds", type=not_negative, metavar="S", help="between pings; 0 sends none (default 20)"
    )
    wrong.add_argument(
        "--send-seconds", type=seconds, metavar="S", help="a client that takes nothing so long is cut off (default 10)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    settings = simulator_settings(args)
    return run_async(lambda: _serve(settings))


def simulator_settings(args: argparse.Namespace) -> "SimulatorSettings":
    """The settings that the arguments mean; what was not given has the simulator's own default.

    Raises:
        CommandFailed: a script of faults, or a combination, that cannot be used.
    """
    from pathlib import Path

    from server.simulator.faults import FaultScriptError, random_faults, read_faults
    from server.simulator.settings import SimulatorSettings

    given = {
        "host": args.host,
        "port": args.port,
        "service": args.service,
        "api_key": args.key,
        "tokens_file": args.tokens,
        "models": tuple(args.model) or None,
        "session_seconds": args.max_duration,
        "pace": args.pace,
        "think_ms": args.think_ms,
        "voice": args.session_voice,
        "engine": args.voice,
        "seed": args.seed,
        "max_connections": args.max_connections,
        "quota": args.quota,
        "tls_cert": args.tls_cert,
        "tls_key": args.tls_key,
        "context_tokens": args.context_tokens,
        "token_limit": args.token_limit,
        "ping_seconds": args.ping_seconds,
        "send_seconds": args.send_seconds,
    }
    try:
        faults = read_faults(Path(args.faults)) if args.faults else ()
        if args.random_faults is not None:
            faults += random_faults(args.random_faults)
        return SimulatorSettings(**{name: value for name, value in given.items() if value is not None}, faults=faults)
    except (FaultScriptError, ValueError) as error:
        raise CommandFailed(sentence(error)) from None


async def _serve(settings: "SimulatorSettings") -> int:
    import trio

    from server.simulator.service import TokensFileError, serve
    from server.simulator.tls import TlsFilesError
    from server.simulator.voice import VoiceUnavailableError
    from server.telemetry import logs

    logs.configure("info", "auto")
    try:
        async with trio.open_nursery() as nursery:
            simulator = await nursery.start(serve, settings)
            print(usage_hint(simulator.base_url, settings), flush=True)
            if sys.stdout.isatty():
                print(dim("Ctrl-C stops it."), flush=True)
    except* OSError as group:
        raise CommandFailed(
            f"The simulator cannot listen at {settings.host}, port {settings.port}: {group.exceptions[0]}."
        ) from group
    except* (TlsFilesError, TokensFileError) as group:
        raise CommandFailed(sentence(group.exceptions[0])) from group
    except* VoiceUnavailableError as group:
        raise CommandFailed(f"There is no such voice here: {group.exceptions[0]}.") from group
    return OK


def usage_hint(base_url: str, settings: "SimulatorSettings") -> str:
    """Where the simulator is and what to set so that a server uses it. Does not show the key."""
    http = base_url.replace("ws", "http", 1)
    key = "(the key you gave)" if settings.api_key else "anything"
    model = settings.models[0] if settings.models else "gpt-realtime"
    at_azure = (
        ("AZURE_OPENAI_ENDPOINT", http),
        ("AZURE_OPENAI_API_KEY", key),
        ("AZURE_OPENAI_DEPLOYMENT", model),
    )
    at_openai = (("OPENAI_BASE_URL", f"{http}/v1"), ("OPENAI_API_KEY", key), ("LIVEAVATAR_MODEL", model))
    paths = {"azure": ("/openai/v1/realtime", at_azure), "openai": ("/v1/realtime", at_openai)}
    chosen = list(paths.values()) if settings.service == "both" else [paths[settings.service]]
    urls = " and at ".join(f"{base_url}{path}?model={model}" for path, _ in chosen)
    # With tokens alone no key opens the door.
    hidden = "API_KEY" if settings.tokens_file and not settings.api_key else " "
    ways = ["\n".join(f"  {name}={value}" for name, value in names if hidden not in name) for _, names in chosen]
    return "\n".join([f"The simulator listens at {urls}", "To use it, start the server with", "\nor with\n".join(ways)])
