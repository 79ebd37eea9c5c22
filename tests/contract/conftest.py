"""Each contract test runs against every target."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.targets import TARGETS, Target, opened


@pytest.fixture(params=TARGETS)
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    async with opened(request.param) as found:
        yield found
