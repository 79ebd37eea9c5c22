"""A stage for the bench's own tests: small scenarios on one scratch folder, so that only the first start compiles."""

import pytest

from bench.machine import Placement
from bench.scenario import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(
        tmp_path_factory.mktemp("bench"), Placement(None, None, "tests share the cores"), lambda _sentence: None
    )
