"""What every command is made of: its parser, its settings, and how it fails. Knows no command."""

import argparse
import math
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from server.settings import Settings

ENV_FILE = ".env"
# The default of PORT in the table of settings; a test holds the two together.
DEFAULT_PORT = 8000
# Longer lines are hard to read, however wide the terminal is.
MAX_HELP_COLUMNS = 100

OK = 0
FAILED = 1
# What a shell reports of a program that Ctrl-C ended: 128 and the number of the signal.
INTERRUPTED = 130


class CommandFailed(Exception):
    """A command cannot do what was asked; each of ``sentences`` says so to a person, and what to do about it."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help with the descriptions' own line breaks, as wide as the terminal but not wider than is readable."""

    def __init__(self, prog: str) -> None:
        columns = min(shutil.get_terminal_size().columns, MAX_HELP_COLUMNS)
        super().__init__(prog, width=columns - 2, max_help_position=30)


class CommandParser(argparse.ArgumentParser):
    """A parser that takes no abbreviated options: a script that uses one breaks when an option is added."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **kwargs)


if TYPE_CHECKING:
    # The only name that argparse has for what add_subparsers returns.
    Commands = argparse._SubParsersAction[CommandParser]  # noqa: SLF001


class Command(Protocol):
    """What a command's module has. ``add`` gives the parser a default ``run``: arguments in, exit code out."""

    NAME: str
    SUMMARY: str

    def add(self, commands: "Commands") -> None:
        """Add the command's parser."""
        ...


def load_settings(overrides: Mapping[str, object] | None = None) -> "Settings":
    """The settings of the environment and ``.env``, with ``overrides`` (names of settings to values; None: none).

    Raises:
        CommandFailed: with every problem of the settings.
    """
    from pathlib import Path

    from server.settings import SettingsError, load

    given = {name: str(value) for name, value in (overrides or {}).items() if value is not None}
    try:
        return load({**os.environ, **given}, Path(ENV_FILE))
    except SettingsError as error:
        raise CommandFailed(*error.problems, "`liveavatar check --settings` lists every setting.") from None


def knowledge_folder(data_dir: "Path") -> "Path":
    """Where a server with this data folder keeps its knowledge bases; a test holds it to what the server does."""
    return data_dir / "knowledge"


def run_async(function: Callable[[], Awaitable[int]]) -> int:
    """Run a command's async part; what ends it comes out bare, not in a group of exceptions.

    Of several, an interruption counts first, then a failure that has words for a person. Anything else is a fault of
    ours, and its traceback is wanted.
    """
    import trio

    try:
        return trio.run(_awaited, function)
    except BaseExceptionGroup as group:
        found = list(leaves(group))
        for kind in (KeyboardInterrupt, BrokenPipeError, CommandFailed):
            for leaf in found:
                if isinstance(leaf, kind):
                    raise leaf from None
        raise


async def _awaited(function: Callable[[], Awaitable[int]]) -> int:
    return await function()


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside a group of exceptions, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def sentence(text: object) -> str:
    """A message made for logs as a sentence for people: its first letter is large, and it ends."""
    said = str(text).strip()
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def seconds(text: str) -> float:
    """An argument that is a time in seconds, more than 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds greater than 0, not {text!r}")
    return number


def not_negative(text: str) -> float:
    """An argument that is a number of at least 0."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {text!r}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argument that is a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
        if number < minimum or (maximum is not None and number > maximum):
            bounds = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"must be {bounds}, not {number}")
        return number

    return parse


port_number = whole_number(0, 65535)
