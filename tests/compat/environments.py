"""Environments of clients, made once and kept: a virtual environment or a node_modules for each. Runs no client."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.compat.clients import NODE, Environment

FOLDER = Path(__file__).parents[2] / ".cache" / "compat"
SCRIPTS = Path(__file__).parent / "js"
_INSTALL_S = 300
# The first that has a native WebSocket, behind a flag.
_NODE_MAJOR_MIN = 20


class Unavailable(Exception):
    """An environment cannot be made here; the message says why."""


def made(environment: Environment) -> Path:
    """The folder of an environment, which is made if it is not there or was made of something else. Blocking.

    Raises:
        Unavailable: what it takes is missing: node, npm, the network, or a package.
    """
    folder = FOLDER / environment.name
    wanted = "\n".join([sys.version.split()[0], *environment.packages])
    stamp = folder / "made-of"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            if environment.kind == NODE:
                _make_node(folder, environment)
            else:
                _make_python(folder, environment)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", b"") or b"").decode(errors="replace")
            text = f"{environment.name} needs {', '.join(environment.packages)}: {error} {said[-300:]}"
            raise Unavailable(text) from error
        stamp.write_text(wanted)
    if environment.kind == NODE:
        # An import is resolved from where its file is.
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy(script, folder)
    return folder


def _make_python(folder: Path, environment: Environment) -> None:
    python = str(folder / "bin" / "python")
    if shutil.which("uv"):
        _run(["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        _run(["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *environment.packages])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *environment.packages])


def _make_node(folder: Path, environment: Environment) -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise FileNotFoundError("node and npm are not installed")
    version = subprocess.run(
        ["node", "--version"], check=True, capture_output=True, text=True, timeout=_INSTALL_S
    ).stdout
    if int(version.lstrip("v").partition(".")[0]) < _NODE_MAJOR_MIN:
        raise FileNotFoundError(f"node {_NODE_MAJOR_MIN} or newer is needed, this is {version.strip()}")
    versions = dict(package.rsplit("@", 1) for package in environment.packages)
    manifest = {"name": "compat", "private": True, "type": "module", "dependencies": versions}
    (folder / "package.json").write_text(json.dumps(manifest))
    _run(["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--no-package-lock"], cwd=folder)


def _run(command: list[str], cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S, cwd=cwd)
