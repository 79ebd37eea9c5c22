"""Profiles: reads `profile.toml`, the persona of a knowledge base. It stores nothing."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from server.knowledge.base import KnowledgeError, Profile
from server.knowledge.documents import clean

PROFILE_FILE = "profile.toml"
_TEXT_KEYS = ("title", "greeting", "instructions", "voice", "language")
_LIST_KEY = "sample_questions"
# A profile goes into every session's instructions; this is several times what a persona needs.
_MAX_PROFILE_BYTES = 64 * 1024
_DEFAULT_LANGUAGE = "en"


class ProfileError(KnowledgeError):
    """A profile file says something that no profile can say. The message names the file and the key."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        super().__init__(f"{file}: {text}")


def default_profile(kb_id: str) -> Profile:
    """The persona of a knowledge base that brings none: polite, and named after its id."""
    title = kb_id.replace("-", " ").replace("_", " ").strip().capitalize() or kb_id
    return Profile(
        kb_id=kb_id,
        title=title,
        greeting=f"Hello! I can answer questions about {title}. What would you like to know?",
        instructions=(
            f"You are a friendly, concise assistant for {title}. Answer from what the knowledge base says, and say "
            "so plainly when it does not hold the answer."
        ),
        language=_DEFAULT_LANGUAGE,
    )


def read_profile(file: Path, kb_id: str) -> Profile:
    """The profile in `file`; what it leaves out is as in `default_profile`. Raises ProfileError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ProfileError(file, f"cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_PROFILE_BYTES:
        raise ProfileError(file, f"is larger than {_MAX_PROFILE_BYTES // 1024} KiB")
    return parse_profile(data, kb_id, file=file)


def parse_profile(data: bytes, kb_id: str, *, file: Path) -> Profile:
    """The profile that the TOML in `data` says; `file` is where it came from, for messages. Raises ProfileError."""
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ProfileError(file, f"is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(file, f"is not valid TOML: {error}") from error
    return profile_of(table, kb_id, file=file)


def profile_of(table: Mapping[str, object], kb_id: str, *, file: Path) -> Profile:
    """The profile that a table of TOML says, with the keys of a profile file. Raises ProfileError."""
    default = default_profile(kb_id)
    texts = {key: getattr(default, key) for key in _TEXT_KEYS}
    questions: list[str] = []
    for key, value in table.items():
        if key in texts:
            if not isinstance(value, str):
                raise ProfileError(file, f"{key!r} must be a text, not {_toml_type(value)}")
            texts[key] = clean(value).strip()
        elif key == _LIST_KEY:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ProfileError(file, f"{key!r} must be a list of texts")
            questions = [clean(item).strip() for item in value]
        else:
            known = ", ".join((*_TEXT_KEYS, _LIST_KEY))
            raise ProfileError(file, f"unknown key {key!r}; a profile has: {known}")
    if not texts["title"]:
        raise ProfileError(file, "'title' must not be empty")
    return Profile(kb_id=kb_id, sample_questions=questions, **texts)


def _toml_type(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")
