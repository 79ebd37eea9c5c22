"""docs/costs.md says what the price list says, and explains every doubt."""

import re
import typing
from datetime import date
from decimal import Decimal
from pathlib import Path

from protocol.prices.metering import Doubt
from protocol.prices.rates import Rates
from server.deployments import read_deployments
from server.prices.files import LIST, read_prices

PAGE = Path(__file__).parents[2].joinpath("docs/costs.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
KINDS = [
    ("text", "input"), ("text", "cached"), ("text", "output"), ("audio", "input"), ("audio", "cached"),
    ("audio", "output"), ("image", "input"), ("image", "cached"),
]  # fmt: skip
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def listed(use: str) -> dict[str, Rates]:
    problems: list[str] = []
    rows = read_prices(LIST, problems)
    assert not problems
    return {f"`{row.model}`": row.rates for row in rows if row.use == use}


def number(cell: str) -> Decimal | None:
    return Decimal(cell) if cell else None


def test_prices_of_conversations_are_those_of_the_list() -> None:
    documented = {row[0]: row[1:] for row in ROWS if len(row) == 9 and row[0].startswith("`")}
    prices = listed("conversation")
    assert documented.keys() == prices.keys()
    for model, cells in documented.items():
        assert [number(cell) for cell in cells] == [prices[model].tokens.get(kind) for kind in KINDS], model  # type: ignore[arg-type]


def test_prices_of_transcriptions_are_those_of_the_list() -> None:
    documented = {row[0]: row[1:] for row in ROWS if len(row) == 5 and row[0].startswith("`")}
    prices = listed("transcription")
    assert documented.keys() == prices.keys()
    for model, cells in documented.items():
        rates = prices[model]
        tokens = [rates.tokens.get(("text", "input")), rates.tokens.get(("text", "output"))]
        assert [number(cell) for cell in cells] == [*tokens, rates.tokens.get(("audio", "input")), rates.minute], model


def test_every_doubt_is_explained() -> None:
    explained = {name for row in ROWS if len(row) == 3 for name in re.findall(r"`(\w+)`", row[0])}
    assert set(typing.get_args(Doubt)) <= explained


def test_the_examples_are_read_as_they_stand(tmp_path: Path) -> None:
    own, deployments = EXAMPLES
    problems: list[str] = []
    (tmp_path / "prices.toml").write_text(own)
    rows = read_prices(tmp_path / "prices.toml", problems)
    assert rows[0].valid_from == date(2026, 12, 1)
    (tmp_path / "deployments.toml").write_text(deployments)
    specs = read_deployments(tmp_path / "deployments.toml", {}, problems)
    assert [spec.name for spec in specs] == ["sweden", "contract"]
    assert problems == []
