"""Where a command finds a server, and its key: from options, the environment and ``.env``. Connects to nothing."""

import argparse
import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from server.cli.command import DEFAULT_PORT, ENV_FILE, CommandFailed

if TYPE_CHECKING:
    from server.secret import Secret

AVATAR_PATH = "/ws"
_DEFAULT_HOST = "127.0.0.1"
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not listened on
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def websocket_url(text: str) -> str:
    """The URL of an avatar endpoint, from whatever people call a server by."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is no URL: {error}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise argparse.ArgumentTypeError("must look like ws://127.0.0.1:8000/ws or wss://avatar.example.org/ws")
    path = parts.path if parts.path not in ("", "/") else AVATAR_PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def own_values() -> dict[str, str]:
    """The ``.env`` file's values. Not all settings are loaded: whoever only talks needs none of the server's."""
    from pathlib import Path

    from server.settings import read_env_file

    return read_env_file(Path(ENV_FILE), [])


def default_url(values: dict[str, str]) -> str:
    """The avatar endpoint of the server that these values set up.

    Raises:
        CommandFailed: they name no port to connect to.
    """
    host = os.environ.get("LIVEAVATAR_HOST") or values.get("LIVEAVATAR_HOST", "")
    port = os.environ.get("PORT") or values.get("PORT") or str(DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CommandFailed(f"PORT is {port!r}, which is no port to connect to: say where the server is with --url.")
    host = _DEFAULT_HOST if host in _EVERY_ADDRESS else host
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}{AVATAR_PATH}"


def key_for(given: str | None, url: str | None, values: dict[str, str]) -> "Secret | None":
    """The key to present. That of a ``.env`` file belongs to the server beside it, and is told to no other."""
    from server.secret import Secret

    key = given or os.environ.get("LIVEAVATAR_API_KEY")
    if not key and (url is None or is_local(url)):
        key = values.get("LIVEAVATAR_API_KEY")
    return Secret(key) if key else None


def is_local(url: str) -> bool:
    """Whether a URL means this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
