"""The static files of the browser side, read once at the start. Serves what is there by name and opens no path."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    content_type: str
    etag: str
    """Strong, from the contents: a new version of the server is seen at the next request."""


def load(folder: Path = FOLDER) -> dict[str, Asset]:
    """The files of a folder by name; a name is looked up, never opened, so no name leads out of the folder."""
    assets: dict[str, Asset] = {}
    for file in sorted(folder.iterdir()):
        body = file.read_bytes()
        etag = hashlib.sha256(body).hexdigest()[:32]
        assets[file.name] = Asset(body, _TYPES[file.suffix], etag)
    return assets
