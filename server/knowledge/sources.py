"""Sources: finds the files that documents are read from, in files and folders given. It reads no contents."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from server.knowledge.documents import clean
from server.knowledge.profiles import PROFILE_FILE

MARKDOWN_SUFFIXES = frozenset((".md", ".markdown", ".mdown"))
HTML_SUFFIXES = frozenset((".html", ".htm", ".xhtml"))
TEXT_SUFFIXES = frozenset((".txt", ".text"))
_SUFFIXES = MARKDOWN_SUFFIXES | HTML_SUFFIXES | TEXT_SUFFIXES


class Problem(msgspec.Struct, frozen=True):
    """A file or folder that could not be taken in (fully), and why."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Root:
    """A file or folder whose documents are to be taken in."""

    path: Path
    location: str
    """What its documents' locations begin with: the absolute path, unless the root moves with an installation."""
    prefix: str = ""
    """What its documents' paths inside the knowledge base begin with."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file with a document in it."""

    file: Path
    location: str
    path: str
    """Its path inside the knowledge base, if no other document has it."""


def root_of(path: Path) -> Root:
    """The root that a person means by `path`. Raises OSError when there is nothing."""
    try:
        real = path.resolve(strict=True)
    except RuntimeError as error:  # how Python 3.11 reports a loop of symbolic links
        raise OSError(None, "a loop of symbolic links") from error
    return Root(real, shown(str(real)))


def shown(name: str) -> str:
    """A file name as text that can be stored: one line, and U+FFFD for bytes that are no UTF-8."""
    text = clean(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return text.replace("\n", " ").replace("\t", " ")


def reason(error: OSError) -> str:
    """What the operating system says, without the path."""
    return error.strerror or type(error).__name__


def join(folder: str, name: str) -> str:
    """A location or path one step further down."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


@dataclass(slots=True)
class Walk:
    """One walk over roots, in the order of names; counts what it leaves out and notes what it could not look at."""

    skipped: int = 0
    """Hidden files and folders, and files of kinds that are not read."""
    problems: list[Problem] = field(default_factory=list)
    top: Path | None = None
    """The folder that is being walked: its profile file is no document and not skipped either."""
    unread: list[str] = field(default_factory=list)
    """Locations that could not be looked at: whether their documents are still there is unknown."""

    def files(self, root: Root) -> Iterator[SourceFile]:
        """The files with documents under `root`. A folder that links lead to twice is read once."""
        if root.path.is_dir():
            self.top = root.path
            yield from self._folder(root.path, root.location, root.prefix, set())
        elif root.path.suffix.lower() in _SUFFIXES:
            yield SourceFile(root.path, root.location, join(root.prefix, shown(root.path.name)))
        else:
            self._problem(root.path, "not Markdown, text or HTML")

    def cannot_read(self, file: Path, location: str, error: OSError) -> None:
        """Notes that a file or folder is there but cannot be looked at."""
        self.unread.append(location)
        self._problem(file, f"cannot be read: {reason(error)}")

    def _problem(self, file: Path, text: str) -> None:
        self.problems.append(Problem(shown(str(file)), text))

    def _folder(self, folder: Path, location: str, path: str, read: set[tuple[int, int]]) -> Iterator[SourceFile]:
        try:
            status = folder.stat()
            names = sorted(os.listdir(folder))
        except OSError as error:
            self.cannot_read(folder, location, error)
            return
        inode = (status.st_dev, status.st_ino)
        if inode in read:
            self._problem(folder, "leads to a folder that is already read under another name")
            return
        read.add(inode)
        for name in names:
            if name.startswith("."):
                self.skipped += 1
            elif not (name == PROFILE_FILE and folder == self.top):
                yield from self._entry(folder / name, join(location, shown(name)), join(path, shown(name)), read)

    def _entry(self, file: Path, location: str, path: str, read: set[tuple[int, int]]) -> Iterator[SourceFile]:
        try:
            mode = file.stat().st_mode
        except OSError as error:
            self.cannot_read(file, location, error)
            return
        if stat.S_ISDIR(mode):
            yield from self._folder(file, location, path, read)
        elif file.suffix.lower() not in _SUFFIXES:
            self.skipped += 1
        elif stat.S_ISREG(mode):
            yield SourceFile(file, location, path)
        else:
            self._problem(file, "not a regular file")
