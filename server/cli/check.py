"""``liveavatar check``: says whether a server could run here, and names everything that is in its way."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from server.cli.command import ENV_FILE, FAILED, OK, CommandParser, knowledge_folder
from server.cli.terminal import counted, one_line, plain

if TYPE_CHECKING:
    from pathlib import Path

    from server.cli.command import Commands
    from server.settings import Settings

NAME = "check"
SUMMARY = "Say whether everything is set up, and name what is not."

_DESCRIPTION = """\
Look at the settings (environment and .env), the data folder, the voice and the
knowledge bases; look up secrets, and open a connection to each deployment of the
Realtime service that is set up. Names each problem and the setting to look at.
Changes nothing. Exit code 1 if there is a problem.
"""

_EPILOG = """\
examples:
  liveavatar check
  liveavatar check --offline
  liveavatar check --settings
"""

Tell = Callable[[str, str], None]


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar check [--offline | --settings]", description=_DESCRIPTION, epilog=_EPILOG
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--offline", action="store_true", help="connect to nothing")
    which.add_argument(
        "--settings", action="store_true", help="list every setting with type, default and meaning, and exit"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, or list the settings."""
    if args.settings:
        from server.cli.settings_table import as_text

        print(as_text())
        return OK
    from server.telemetry import logs

    logs.configure("error", "auto")
    problems = _check(_print_finding, offline=args.offline)
    print("Everything is set up." if not problems else f"{counted(problems, 'problem')} found.")
    return FAILED if problems else OK


def _print_finding(kind: str, text: str) -> None:
    print(f"{kind:<8} {plain(text)}")


def _check(tell: Tell, *, offline: bool) -> int:
    """Tell what is found; the number of problems."""
    from pathlib import Path

    from server.settings import SettingsError, load

    env_file = Path(ENV_FILE)
    settings: Settings | None = None
    data_dir = Path(os.environ.get("LIVEAVATAR_DATA_DIR") or "data")
    problems = 0
    try:
        settings = load(os.environ, env_file)
    except SettingsError as error:
        for problem in error.problems:
            tell("PROBLEM", problem)
        problems += len(error.problems)
    else:
        data_dir = settings.data_dir
        source = f"the environment and {env_file}" if env_file.is_file() else f"the environment (no {env_file} here)"
        tell("ok", f"settings: from {source}")
        tell("ok", _upstream(settings))
        tell("ok", _access(settings))
        for warning in _unsafe(settings, env_file):
            tell("WARNING", warning)
        if not settings.is_loopback and settings.allowed_hosts is None:
            text = "not set, so this server answers by its addresses and by no other name than LIVEAVATAR_HOST"
            tell("note", f"LIVEAVATAR_ALLOWED_HOSTS: {text}")
        problems += _transcript_guard(settings, tell)
        if settings.search_endpoint is not None:
            tell("ok", f"knowledge: Azure AI Search at {settings.search_endpoint}, by {settings.search_mode}")
        if not offline:
            problems += _elsewhere(settings, tell)
    problems += _data_folder(data_dir, tell) + _key_file(data_dir, tell)
    if settings is None or settings.search_endpoint is None:
        problems += _knowledge(data_dir, settings.default_kb if settings else None, tell)
    _voice(tell)
    return problems


def _upstream(settings: "Settings") -> str:
    if settings.deployments_file is not None and settings.deployments:
        names = ", ".join(f"{spec.name} (priority {spec.priority})" for spec in settings.deployments)
        return f"upstream: the deployments of {settings.deployments_file}: {names}"
    match settings.chosen_upstream:
        case "azure":
            return f"upstream: Azure OpenAI at {settings.azure_endpoint}, deployment {settings.azure_deployment}"
        case "openai":
            return f"upstream: OpenAI at {settings.openai_base_url}, model {settings.model}"
        case _:
            return "upstream: the embedded simulator (set AZURE_OPENAI_ENDPOINT or OPENAI_API_KEY for a real one)"


def _elsewhere(settings: "Settings", tell: Tell) -> int:
    import trio

    from server.app.probe import probe

    return trio.run(probe, settings, tell)


def _access(settings: "Settings") -> str:
    from server.security.key_file import KeyFile, KeyFileError

    try:
        live = sum(entry.is_live for entry in KeyFile(settings.data_dir).read())
    except KeyFileError:
        live = 0  # said where the folder is looked at
    who = ["whoever has the API key"] if settings.api_key else []
    who += [f"whoever has one of {counted(live, 'key')}"] if live else []
    who += [f"whoever has a token of {settings.jwt_issuer}"] if settings.jwt_issuer else []
    if settings.open_access:
        who = ["anybody"]
    served = " and ".join(who) or "this machine only, without a key"
    return f"access: listens on {settings.host}, port {settings.port}; serves {served}"


def _unsafe(settings: "Settings", env_file: "Path") -> list[str]:
    from server.app.descriptors import shortage
    from server.app.unsafe import exposed, unsafe

    too_few = shortage(settings)
    return [*unsafe(settings), *exposed(settings, env_file), *([too_few] if too_few is not None else [])]


def _transcript_guard(settings: "Settings", tell: Tell) -> int:
    from protocol.errors import OperatorFault
    from server.app.transcripts import open_transcript_guard

    try:
        guard = open_transcript_guard(settings)
    except OperatorFault as fault:
        tell("PROBLEM", fault.message)
        return 1
    if guard is not None:
        tell("ok", "transcript guard: what people say is looked at before it is answered")
    return 0


def _key_file(folder: "Path", tell: Tell) -> int:
    from server.security.key_file import KeyFile, KeyFileError

    try:
        KeyFile(folder).read()
    except KeyFileError as error:
        tell("PROBLEM", f"keys: {error}; `liveavatar keys create NAME` makes a new one when it is out of the way")
        return 1
    return 0


def _data_folder(folder: "Path", tell: Tell) -> int:
    import tempfile

    if not folder.exists():
        parent = next(place for place in folder.absolute().parents if place.exists())
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            tell("ok", f"data: {folder} is not there yet and will be made")
            return 0
        tell("PROBLEM", f"data: {folder} cannot be made in {parent}; LIVEAVATAR_DATA_DIR names another place")
        return 1
    try:
        with tempfile.TemporaryFile(dir=folder):
            tell("ok", f"data: {folder} is writable")
    except OSError as error:
        reason = error.strerror or str(error)
        tell("PROBLEM", f"data: {folder} cannot be written ({reason}); LIVEAVATAR_DATA_DIR names another place")
        return 1
    return 0


def _knowledge(data_dir: "Path", default_kb: str | None, tell: Tell) -> int:
    from server.knowledge.base import KnowledgeError
    from server.knowledge.shipped import shipped_sources
    from server.knowledge.sqlite import KnowledgeIndex

    index = KnowledgeIndex(knowledge_folder(data_dir))
    problems = 0
    try:
        ids = index.ids()
        for kb_id in ids:
            try:
                tell("ok", f"knowledge base {kb_id}: {one_line(index.profile(kb_id).title)}")
            except KnowledgeError as error:
                tell("PROBLEM", f"knowledge base {kb_id}: {error}")
                problems += 1
    except KnowledgeError as error:
        tell("PROBLEM", f"knowledge bases: {error}")
        return problems + 1
    finally:
        index.close()
    shipped = {source.kb_id for source in shipped_sources()}
    if not_loaded := sorted(shipped.difference(ids)):
        tell("note", f"knowledge bases that the first start will bring: {', '.join(not_loaded)}")
    if default_kb is not None and default_kb not in shipped.union(ids):
        tell(
            "PROBLEM",
            f"LIVEAVATAR_DEFAULT_KB is {default_kb}, and there is no such knowledge base: "
            f"`liveavatar ingest {default_kb} PATH...` makes it",
        )
        problems += 1
    return problems


def _voice(tell: Tell) -> None:
    from server.simulator.voice import VoiceUnavailableError, load_voice

    try:
        load_voice("espeak")
        tell("ok", "voice of the simulator: eSpeak NG")
    except VoiceUnavailableError as error:
        missing = "install the extra `voice`" if "espeakng_loader" not in sys.modules else str(error)
        tell("note", f"voice of the simulator: a plain synthetic one; for eSpeak NG {missing}")
