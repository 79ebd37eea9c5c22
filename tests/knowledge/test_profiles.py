from pathlib import Path

import pytest

from server.knowledge.profiles import ProfileError, default_profile, parse_profile, read_profile

FILE = Path("guide/profile.toml")


def test_a_profile_says_who_speaks() -> None:
    profile = parse_profile(
        b'title = "The Guide"\ngreeting = "Hi"\ninstructions = "Be kind."\nvoice = "marin"\nlanguage = "de-AT"\n'
        b'sample_questions = ["When?", "Where?"]\n',
        "guide",
        file=FILE,
    )
    assert (profile.kb_id, profile.title, profile.greeting, profile.instructions) == (
        "guide",
        "The Guide",
        "Hi",
        "Be kind.",
    )
    assert (profile.voice, profile.language, profile.sample_questions) == ("marin", "de-AT", ["When?", "Where?"])


def test_what_is_left_out_is_as_in_the_default() -> None:
    assert parse_profile(b"", "rope-walk", file=FILE) == default_profile("rope-walk")
    assert default_profile("rope-walk").title == "Rope walk"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (b"titel = 'x'", "unknown key 'titel'; a profile has: title, greeting"),
        (b"title = 3", "'title' must be a text, not a number"),
        (b"voice = true", "'voice' must be a text, not a boolean"),
        (b"title = ''", "'title' must not be empty"),
        (b"sample_questions = 'x'", "'sample_questions' must be a list of texts"),
        (b"sample_questions = [1]", "'sample_questions' must be a list of texts"),
        (b"[table]", "unknown key 'table'"),
        (b"title = ", "is not valid TOML"),
        (b"title = '\xff'", "is not UTF-8"),
    ],
)
def test_a_mistake_is_named_with_its_file(toml: bytes, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(toml, "guide", file=FILE)
    assert str(caught.value).startswith(f"{FILE}: {message}")


def test_a_file_that_is_missing_or_huge(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile(tmp_path / "profile.toml", "guide")
    (tmp_path / "profile.toml").write_bytes(b"#" * 100_000)
    with pytest.raises(ProfileError, match="larger than 64 KiB"):
        read_profile(tmp_path / "profile.toml", "guide")
