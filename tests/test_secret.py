import copy
import pickle

import pytest

from server.secret import Secret

KEY = Secret("swordfish")


def test_a_secret_is_revealed_on_request_only() -> None:
    assert KEY.reveal() == "swordfish"
    for shown in (str(KEY), repr(KEY), f"{KEY}", f"{KEY:>20}", f"{KEY!r}", f"{KEY!s}", f"{[KEY]}", f"{ {'k': KEY} }"):
        assert "swordfish" not in shown
        assert "***" in shown


def test_secrets_are_equal_by_value_and_unlike_texts() -> None:
    assert Secret("swordfish") == KEY
    assert Secret("swordfisch") != KEY
    assert KEY != "swordfish"
    assert Secret("schlüssel") == Secret("schlüssel")


def test_a_secret_is_true_unless_it_is_empty() -> None:
    assert KEY
    assert not Secret("")


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, hash])
def test_a_secret_cannot_be_pickled_copied_or_hashed(leak: object) -> None:
    with pytest.raises(TypeError):
        leak(KEY)  # type: ignore[operator]


def test_a_secret_has_no_dictionary_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(KEY)
