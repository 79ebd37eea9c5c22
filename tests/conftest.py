"""What every test folder shares: how Hypothesis works here, and a data folder that servers can start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# No deadline: the machine is shared, and a slow example is no wrong one. The blob reproduces a failure elsewhere.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command or a server may have sent the logs elsewhere, or quietened them; the next test looks at them."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shipped knowledge bases in it, made once; servers under test find nothing to do there."""
    # Imported here: tests of one room must not need all the others.
    from server.app import KNOWLEDGE_FOLDER
    from server.knowledge.shipped import load_shipped
    from server.knowledge.sqlite import KnowledgeIndex

    data_dir = tmp_path_factory.mktemp("data")
    folder = data_dir / KNOWLEDGE_FOLDER
    folder.mkdir()
    index = KnowledgeIndex(folder)
    try:
        load_shipped(index)
    finally:
        index.close()
    return data_dir


@pytest.fixture
def data_dir(prepared_data: Path, tmp_path: Path) -> Path:
    """A data folder of this test's own, with the knowledge bases of all: what is recorded stays in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "knowledge").symlink_to(prepared_data / "knowledge")
    return folder
