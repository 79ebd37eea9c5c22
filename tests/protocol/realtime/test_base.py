"""Absent, null and value stay three different things on the way through a struct."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from protocol.realtime.base import UNSET
from protocol.realtime.codec import encode
from protocol.realtime.response import ResponseParams
from protocol.realtime.session import AudioInput, SessionParams


def values_of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """JSON values that a struct field of this type takes."""
    match kind:
        case inspect.UnionType(types):
            return st.one_of([values_of(arm) for arm in types])
        case inspect.NoneType():
            return st.none()
        case inspect.StrType():
            return st.text(max_size=4)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**31), 2**31)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False, width=16)
        case inspect.ListType(item_type=item):
            return st.lists(values_of(item), max_size=2)
        case inspect.DictType(value_type=inner):
            return st.dictionaries(st.text(max_size=3), values_of(inner), max_size=2)
        case inspect.StructType():
            return objects_of(kind)
        case inspect.AnyType():
            return st.recursive(
                st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
                max_leaves=3,
            )
    raise AssertionError(f"no values for {kind}")


def objects_of(kind: inspect.StructType) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects of a struct: each optional field absent, null where that is allowed, or a value."""
    required = {field.encode_name: values_of(field.type) for field in kind.fields if field.required}
    optional = {field.encode_name: values_of(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional)


def struct_objects(struct: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that ``struct`` takes."""
    kind = inspect.type_info(struct)
    assert isinstance(kind, inspect.StructType)
    return objects_of(kind)


@pytest.mark.parametrize("struct", [SessionParams, ResponseParams], ids=lambda struct: struct.__name__)
def test_what_is_absent_stays_absent_and_what_is_null_stays_null(struct: type[msgspec.Struct]) -> None:
    @given(struct_objects(struct))
    def round_trip(sent: dict[str, Any]) -> None:
        read = msgspec.json.decode(msgspec.json.encode(sent), type=struct)
        assert msgspec.json.decode(encode(read)) == sent

    round_trip()


def test_null_switches_turn_detection_off_and_absence_leaves_it() -> None:
    off = msgspec.json.decode(b'{"turn_detection":null}', type=AudioInput)
    left = msgspec.json.decode(b"{}", type=AudioInput)
    assert off.turn_detection is None
    assert left.turn_detection is UNSET
    assert encode(off) == b'{"turn_detection":null}'
    assert encode(left) == b"{}"
