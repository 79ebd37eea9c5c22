"""Finds a Python 2.7, puts Autobahn|Testsuite there, and starts its `wstest`; it judges no result.

The suite exists for Python 2.7 only, which no current Debian has: where there is none, its tests are skipped, and the
frames are left to `tests/transport/test_rfc6455.py`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

PACKAGE = "autobahntestsuite==0.8.2"
FOLDER = Path(__file__).parents[2] / ".cache" / "autobahn"
# One of its dependencies is compiled.
INSTALL_S = 300
AGENT = "LiveAvatar"
HOST = "127.0.0.1"

_IS_PYTHON_27 = "import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))"


class CannotRun(Exception):
    """There is no Python 2.7, or the suite cannot be installed for it; the text says which."""


class CaseReport(msgspec.Struct):
    """What the suite says of one case."""

    behavior: str
    behaviorClose: str  # noqa: N815 - the suite's own name
    remoteCloseCode: int | None = None  # noqa: N815


def _candidates() -> Iterator[str]:
    if named := os.environ.get("TESTS_PYTHON27"):
        yield named
    for name in ("python2.7", "python2"):
        if found := shutil.which(name):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/2.7.*/bin/python2.7")))


def _python27() -> str:
    for python in _candidates():
        try:
            subprocess.run([python, "-c", _IS_PYTHON_27], check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            continue
        return python
    raise CannotRun(
        "Autobahn|Testsuite runs on Python 2.7 only, and there is none here with pip: Debian 12 has no such package."
        " TESTS_PYTHON27 may name one; pyenv builds it."
    )


def _environment() -> dict[str, str]:
    # The user's site folder, moved: unlike a --target folder it has its .pth files read, which zope needs.
    return {**os.environ, "PYTHONUSERBASE": str(FOLDER), "PYTHONWARNINGS": "ignore"}


class Wstest:
    """The suite, installed."""

    def __init__(self) -> None:
        """Install it where that has not been done. Raises `CannotRun`."""
        self._python = _python27()
        self._program = FOLDER / "bin" / "wstest"
        made_of = FOLDER / "made-of"
        wanted = f"{PACKAGE}\n{self._python}"
        if self._program.is_file() and made_of.is_file() and made_of.read_text() == wanted:
            return
        shutil.rmtree(FOLDER, ignore_errors=True)
        pip = [self._python, "-m", "pip", "install", "--quiet", "--user", "--ignore-installed", PACKAGE]
        try:
            subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_S, env=_environment())
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", b"") or b"").decode(errors="replace")
            raise CannotRun(f"needs {PACKAGE} in {FOLDER}, for {self._python}: {error} {said[-300:]}") from error
        made_of.write_text(wanted)

    def command(self, mode: str, folder: Path, port: int, cases: Sequence[str]) -> list[str]:
        """The command line of a run whose reports go to `folder`; `mode` is `fuzzingclient` or `fuzzingserver`."""
        url = f"ws://{HOST}:{port}"
        where = {"url": url} if mode == "fuzzingserver" else {"servers": [{"agent": AGENT, "url": url}]}
        specification = folder / "specification.json"
        # wstest logs where it reports to, and knows no other way to be told than a file.
        specification.write_bytes(msgspec.json.encode({**where, "outdir": str(folder), "cases": list(cases)}))
        # The web server that would show the reports stays off: port 0.
        return [self._python, str(self._program), "-m", mode, "-s", str(specification), "-u", "0"]

    @property
    def environment(self) -> dict[str, str]:
        """What the command must be started with."""
        return _environment()


def reports(folder: Path) -> dict[str, CaseReport]:
    """What a run said, by number of the case."""
    of_agents = msgspec.json.decode((folder / "index.json").read_bytes(), type=dict[str, dict[str, CaseReport]])
    return of_agents[AGENT]
