"""Lines from a pipe: whole, in order, whatever pieces they come in."""

import os
from collections.abc import Iterator

import pytest
import trio

from server.cli.command import CommandFailed
from server.cli.typed_lines import MAX_LINE_CHARS, OneLine, TypedLines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    open_ends = [reading, writing]

    yield reading, writing
    for descriptor in open_ends:
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


async def test_lines_come_in_order_and_the_last_needs_no_end(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = TypedLines(reading)
    os.write(writing, b"one\n\ntwo\r\nthr")
    assert [await lines.next() for _ in range(3)] == ["one", "", "two\r"]
    os.write(writing, b"ee")
    os.close(writing)
    assert [await lines.next() for _ in range(3)] == ["three", None, None]


async def test_a_character_in_two_pieces_is_one_and_a_broken_one_is_replaced(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = TypedLines(reading)
    os.write(writing, b"one\n" + "ü".encode()[:1])
    assert await lines.next() == "one"
    os.write(writing, "ü".encode()[1:] + b"\n\xff\n\xc3")
    os.close(writing)
    assert [await lines.next() for _ in range(4)] == ["ü", "�", "�", None]


async def test_waiting_for_a_line_stops_nothing_and_can_be_cancelled(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with trio.move_on_after(0.05) as scope:
        await TypedLines(reading).next()
    assert scope.cancelled_caught
    os.close(writing)


async def test_a_line_without_end_is_refused(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    assert os.write(writing, b"x" * (MAX_LINE_CHARS + 5000)) > MAX_LINE_CHARS  # a pipe holds 64 KiB
    with pytest.raises(CommandFailed, match="longer than"):
        await TypedLines(reading).next()


async def test_a_closed_terminal_has_no_more_lines() -> None:
    main_end, terminal_end = os.openpty()
    os.close(main_end)
    assert await TypedLines(terminal_end).next() is None
    os.close(terminal_end)


async def test_one_line_is_said_once() -> None:
    line = OneLine("Hm?")
    assert [await line.next(), await line.next()] == ["Hm?", None]
