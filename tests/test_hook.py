"""A function of the operator's is found by its name, or it is said why not."""

import pytest

from server.hook import BadHook, find_hook

NOT_A_FUNCTION = 1


def function(text: str) -> str:
    return text


def test_a_function_is_found_by_its_name() -> None:
    assert find_hook(f"{__name__}:function") is function


@pytest.mark.parametrize(
    "name", ["", "x", "os:", ":x", "os:no_such", "no.such.module:x", "os:path.join", f"{__name__}:NOT_A_FUNCTION"]
)
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadHook):
        find_hook(name)


def test_the_refusal_says_why_a_module_cannot_be_imported() -> None:
    with pytest.raises(BadHook, match=r"no\.such\.module cannot be imported: ModuleNotFoundError"):
        find_hook("no.such.module:x")
