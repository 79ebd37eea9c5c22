"""The table of all settings, as text for a terminal and as Markdown for the documentation. Never shows a value."""

import textwrap
from pathlib import Path

from server.settings import TABLE, Setting

_HELP_INDENT = "    "
_TEXT_COLUMNS = 78


def as_text() -> str:
    """One paragraph per setting."""
    return "\n".join(_paragraph(setting) for setting in TABLE)


def _paragraph(setting: Setting) -> str:
    traits = [kind(setting), f"default: {default(setting)}" if setting.default is not None else "no default"]
    if setting.unit:
        traits.insert(1, f"in {setting.unit}")
    help_ = textwrap.fill(setting.help, _TEXT_COLUMNS, initial_indent=_HELP_INDENT, subsequent_indent=_HELP_INDENT)
    return f"{setting.name}  ({', '.join(traits)})\n{help_}"


def as_markdown() -> str:
    """A table with one row per setting."""
    rows = ["| Name | Type | Default | Unit | Meaning |", "|---|---|---|---|---|"]
    for setting in TABLE:
        shown = f"`{default(setting)}`" if setting.default is not None else ""
        cells = (f"`{setting.name}`", kind(setting), shown, setting.unit, setting.help.replace("|", "\\|"))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def kind(setting: Setting) -> str:
    """The setting's type, with its bounds."""
    low, high = setting.minimum, setting.maximum
    if low is None and high is None:
        return setting.type
    bounds = f"at least {low:g}" if high is None else f"{low:g} to {high:g}" if low is not None else f"at most {high:g}"
    return f"{setting.type}, {bounds}"


def default(setting: Setting) -> str:
    """The default as one would write it."""
    value = setting.default
    if isinstance(value, Path):
        return value.as_posix()
    return f"{value:g}" if isinstance(value, float) else str(value)
