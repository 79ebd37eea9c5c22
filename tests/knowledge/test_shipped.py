import sqlite3
from pathlib import Path

import pytest

from server.knowledge.ingest import ingest
from server.knowledge.shipped import ShippedSource, load_shipped, shipped_sources
from server.knowledge.sqlite import KnowledgeIndex


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A checkout of some product, and the folder that its wheel would carry."""
    checkout, shipped = tmp_path / "checkout", tmp_path / "shipped"
    (checkout / "docs").mkdir(parents=True)
    (checkout / "pyproject.toml").write_text("")
    (checkout / "README.md").write_text("# Product\n\nStart it with one command.")
    (checkout / "docs" / "settings.md").write_text("# Settings\n\nThe port is 8080.")
    (shipped / "museum").mkdir(parents=True)
    (shipped / "museum" / "hours.md").write_text("# Hours\n\nOpen at nine.")
    (shipped / "museum" / "profile.toml").write_text("title = 'Museum'")
    (shipped / "liveavatar.profile.toml").write_text("title = 'Product help'")
    return tmp_path


def sources(product: Path) -> list[ShippedSource]:
    return shipped_sources(shipped=product / "shipped", checkout=product / "checkout")


def test_both_are_loaded_and_then_left_alone(index: KnowledgeIndex, product: Path) -> None:
    first = load_shipped(index, sources(product))
    assert [(report.kb_id, report.added, report.problems) for report in first] == [
        ("museum", 1, []),
        ("liveavatar", 2, []),
    ]
    assert index.profile("museum").title == "Museum"
    assert index.profile("liveavatar").title == "Product help"
    assert index.search("liveavatar", "port")[0].id == "liveavatar/docs/settings.md#1"
    assert index.search("liveavatar", "command")[0].id == "liveavatar/README.md#1"
    again = load_shipped(index, sources(product))
    assert [(report.added, report.unchanged) for report in again] == [(0, 1), (0, 2)]


def test_a_checkout_that_moved_or_became_a_wheel_is_the_same_knowledge(index: KnowledgeIndex, product: Path) -> None:
    load_shipped(index, sources(product))
    (product / "checkout").rename(product / "shipped" / "liveavatar")
    (_, report) = load_shipped(index, sources(product))
    assert (report.added, report.unchanged, report.removed) == (0, 2, 0)


def test_documents_an_operator_added_stay(index: KnowledgeIndex, product: Path) -> None:
    load_shipped(index, sources(product))
    (product / "hours.md").write_text("# More hours\n\nA heron opens at ten.")
    ingest(index, "museum", [product / "hours.md"])
    load_shipped(index, sources(product))
    assert index.search("museum", "heron")[0].title == "More hours"


def test_an_index_of_another_version_is_made_anew(index: KnowledgeIndex, product: Path) -> None:
    load_shipped(index, sources(product))
    connection = sqlite3.connect(index.file("museum"))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    (report, _) = load_shipped(index, sources(product))
    assert report.added == 1
    assert index.search("museum", "open")


def test_the_product_really_ships_them(index: KnowledgeIndex) -> None:
    museum, project = load_shipped(index)
    assert museum.problems == []
    assert museum.added >= 30
    assert index.profile("museum").sample_questions
    assert project.kb_id == "liveavatar"
    assert index.profile("liveavatar").title == "LiveAvatar"
    assert "opening-hours.md" in index.search("museum", "When does it open on Mondays?")[0].id
