"""docs/security.md names tests that there are, and leaves nothing out that was promised."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
# OWASP ASVS 5.0, as far as it is about servers of this kind.
ASVS = (
    "2.4.1", "4.1.3", "4.4.1", "4.4.2", "4.4.3", "4.4.4", "7.2.2", "7.2.3", "7.4.1", "7.4.2", "9.1.1", "9.1.2", "9.1.3",
    "9.2.1", "9.2.2", "9.2.3", "9.2.4", "13.2.6", "13.3.1", "14.2.1", "15.2.2", "15.3.4", "15.4.2", "16.2.5", "16.4.1",
    "16.5.2", "16.5.3", "16.5.4",
)  # fmt: skip
LLM = ("LLM01", "LLM05", "LLM06", "LLM08", "LLM10")


@pytest.mark.parametrize(("file", "name"), NAMED, ids=str)
def test_each_test_that_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found


def test_every_item_of_the_standards_has_its_row_and_its_test() -> None:
    shown = {row[0].split(" ")[0]: row[-1] for row in ROWS}
    for item in (*ASVS, *LLM):
        assert "::" in shown[item], item


def test_every_row_names_a_test() -> None:
    for row in ROWS:
        assert "::" in row[-1] or row[-1] == "shown by" or set(row[-1]) <= {"-"}, row


def test_there_is_a_policy_with_a_threat_model_and_a_way_to_report() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    for heading in ("How to report", "What is defended", "Against whom", "Where trust ends", "What is out of scope"):
        assert f"## {heading}\n" in policy
