"""What the tests of `talk` share: the command in a thread of its own, and an answer."""

import trio

from server.cli.entry import main
from tests.cli.avatar_server import Visitor

DEADLINE_S = 10.0


async def talk(*arguments: str) -> int:
    """The command's exit code. It has a trio of its own, so it runs in a thread."""
    with trio.fail_after(DEADLINE_S):
        return await trio.to_thread.run_sync(main, ["talk", *arguments])


async def one_answer(visitor: Visitor) -> None:
    """Welcome a visitor and answer one question."""
    await visitor.welcome()
    await visitor.answer("It opens ", "at ten.")
