"""Finds a function of the operator's that a setting names. It does not call it."""

import importlib
from collections.abc import Callable

__all__ = ["BadHook", "find_hook"]


class BadHook(Exception):
    """The function cannot be found; the text says why."""


def find_hook(name: str) -> Callable[..., object]:
    """The function at ``module:function``; the module is imported.

    Raises:
        BadHook: there is none.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name.isidentifier():
        raise BadHook(f"{name!r} is not module:function")
    try:
        found = getattr(importlib.import_module(module_name), function_name, None)
    except Exception as error:  # noqa: BLE001 - importing runs the operator's own code
        raise BadHook(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from None
    if not callable(found):
        raise BadHook(f"{module_name} has no function {function_name}")
    function: Callable[..., object] = found
    return function
