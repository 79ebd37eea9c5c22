"""A secret can be used and compared, and shows itself nowhere."""

import copy
import json
import pickle

import msgspec
import pytest
import structlog

from server.secret import MASK, Secret, UnresolvedSecret

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


def test_what_is_given_by_reference_is_revealed_only_when_it_was_looked_up() -> None:
    secret = Secret.by_reference("keyvault:https://museum.vault.azure.net/secrets/key")
    assert secret.reference == "keyvault:https://museum.vault.azure.net/secrets/key"
    before = secret.is_resolved
    assert secret
    with pytest.raises(UnresolvedSecret, match="museum"):
        secret.reveal()
    secret.renew(VALUE)
    assert (before, secret.is_resolved) == (False, True)
    assert secret.reveal() == VALUE
    assert secret == SECRET


def test_its_holders_have_the_newest_value() -> None:
    secret = Secret.by_reference("somewhere")
    holder = {"key": secret}
    for value in ("first", "second"):
        secret.renew(value)
        assert holder["key"].reveal() == value


def test_one_that_was_given_is_resolved_and_has_no_reference() -> None:
    assert SECRET.reference is None
    assert SECRET.is_resolved


def test_it_is_not_renewed_to_nothing() -> None:
    secret = Secret.by_reference("somewhere")
    secret.renew(VALUE)
    with pytest.raises(ValueError, match="nothing"):
        secret.renew("")
    assert secret.reveal() == VALUE


def test_an_unresolved_one_equals_itself_only() -> None:
    one, other = Secret.by_reference("somewhere"), Secret.by_reference("somewhere")
    holder = [one]
    assert one == holder[0]
    assert one != other
    assert one != SECRET
    assert one != Secret("")
    assert VALUE not in repr(one)
