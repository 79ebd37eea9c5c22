"""What every test folder shares: how Hypothesis works here, and data folders that servers can start from."""

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
def shipped_knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shipped knowledge bases, made once; servers under test find nothing to do there."""
    # Imported here: tests of one room must not need all the others.
    from server.app import KNOWLEDGE_FOLDER
    from server.knowledge.shipped import load_shipped
    from server.knowledge.sqlite import KnowledgeIndex

    folder = tmp_path_factory.mktemp("shipped") / KNOWLEDGE_FOLDER
    folder.mkdir()
    index = KnowledgeIndex(folder)
    try:
        load_shipped(index)
    finally:
        index.close()
    return folder


@pytest.fixture
def data_dir(shipped_knowledge: Path, tmp_path: Path) -> Path:
    """A data folder of this test's own, with the knowledge bases of all: no test meets what another left there.

    Sessions that a killed server left, keys, money that was spent today.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / shipped_knowledge.name).symlink_to(shipped_knowledge)
    return folder
