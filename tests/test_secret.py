"""A secret can be used and compared, and shows itself nowhere."""

import copy
import json
import pickle

import msgspec
import pytest
import structlog

from server.secret import MASK, Secret

VALUE = "sk-canary-0123456789"
SECRET = Secret(VALUE)


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031 - one of the ways
        "{}".format(SECRET),  # noqa: UP032 - one of the ways
        str([SECRET, {"key": SECRET}]),
        repr(ValueError(SECRET)),
        json.dumps({"key": SECRET}, default=str),
    ],
)
def test_it_shows_itself_nowhere(shown: str) -> None:
    assert VALUE not in shown
    assert MASK in shown


def test_it_is_used_by_revealing_it() -> None:
    assert SECRET.reveal() == VALUE


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret(VALUE) == SECRET
    assert Secret(VALUE + "x") != SECRET
    assert SECRET != VALUE
    assert Secret("ключ") == Secret("ключ")
    assert not Secret("")
    assert SECRET


def test_it_is_neither_hashed_nor_pickled_nor_copied_nor_encoded() -> None:
    with pytest.raises(TypeError):
        hash(SECRET)
    with pytest.raises(TypeError):
        vars(SECRET)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            attempt(SECRET)


def test_it_is_not_logged() -> None:
    with structlog.testing.capture_logs() as log:
        structlog.get_logger().info("connecting", key=SECRET)
    assert VALUE not in str(log)
