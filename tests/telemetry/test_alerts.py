"""The alert rules name what the catalogue has, and every alert is explained to whoever is woken by it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from server.telemetry.catalogue import BY_NAME, MetricSpec

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/alerts/liveavatar.rules.yml"
CASES = Path(__file__).with_name("alerts.tests.yml")
OPERATIONS = ROOT / "docs/operations.md"

# What Prometheus adds to every series, and what the buckets of a histogram have.
ADDED = {"job", "instance"}
BUCKET = "le"
# Metrics of Prometheus' own.
BUILT_IN = {"up"}
_SELECTOR = re.compile(r"(?P<name>[a-z_:][a-z0-9_:]*)\s*(?P<matchers>\{[^}]*\})?(?=[\s\[)/*<>=+-]|$)")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_WORDS = {"sum", "max", "min", "rate", "increase", "histogram_quantile", "by", "unless", "and", "or", "on", "m"}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def spec_of(name: str) -> MetricSpec | None:
    """The metric that a series belongs to."""
    if name in BY_NAME:
        return BY_NAME[name] if BY_NAME[name].kind != "histogram" else None
    found = BY_NAME.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return found if found is not None and found.kind == "histogram" else None


def problems(expression: str) -> list[str]:
    """What an expression names that there is not."""
    found = []
    known: set[str] = set(ADDED)
    plain = _GROUPING.sub(" ", expression)
    for match in _SELECTOR.finditer(plain):
        name = match["name"]
        if name in _WORDS or name in BUILT_IN or re.fullmatch(r"[0-9.e]+|e[0-9]+|m", name):
            continue
        spec = spec_of(name)
        if spec is None:
            found.append(f"no metric {name}")
            continue
        known |= set(spec.labels) | ({BUCKET} if name.endswith("_bucket") else set())
        for label, _, value in _MATCHER.findall(match["matchers"] or ""):
            values = spec.values_of(label)
            if label not in {*spec.labels, *ADDED}:
                found.append(f"{name} has no label {label}")
            elif values is not None:
                found += [f"{name} has no {label} {one}" for one in value.split("|") if one not in values]
    for group in _GROUPING.findall(expression):
        found += [f"no label {label.strip()}" for label in group.split(",") if label.strip() not in known]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_metrics_and_labels_of_the_catalogue(rule: dict[str, Any]) -> None:
    assert problems(rule["expr"]) == []
    labels = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
    grouped = {label.strip() for group in _GROUPING.findall(rule["expr"]) for label in group.split(",")}
    assert labels <= (grouped or {*ADDED, *labels})
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("liveavatar_nothing == 0", "no metric liveavatar_nothing"),
        ("liveavatar_search_seconds > 1", "no metric liveavatar_search_seconds"),
        ("rate(liveavatar_searches_total_bucket[5m])", "no metric liveavatar_searches_total_bucket"),
        ('rate(liveavatar_searches_total{kind="x"}[5m])', "liveavatar_searches_total has no label kind"),
        (
            'rate(liveavatar_searches_total{outcome=~"found|lost"}[5m])',
            "liveavatar_searches_total has no outcome lost",
        ),
        ("sum by (colour) (liveavatar_connections)", "no label colour"),
        ("sum by (le) (rate(liveavatar_search_seconds_sum[5m]))", "no label le"),
    ],
)
def test_a_mistake_in_a_rule_is_found(expression: str, problem: str) -> None:
    assert problem in problems(expression)


def test_every_alert_has_its_own_heading_and_says_how_urgent_it_is() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == [rule["alert"] for rule in rules()]
    for rule in rules():
        said = sections[rule["alert"]]
        assert said.startswith(f"*{rule['labels']['severity']}.* "), rule["alert"]
        assert len(said) > 150, "what it means, and what to do"
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_what_the_page_names_is_there() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [name for name in re.findall(r"liveavatar_[a-z_]+", text) if name not in BY_NAME] == []
    anchors = {heading.lower() for heading in re.findall(r"^### (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([a-z]+)\)", text)) <= anchors


@pytest.mark.service
@pytest.mark.parametrize("arguments", [("check", "rules", str(RULES)), ("test", "rules", str(CASES))], ids=" ".join)
def test_prometheus_understands_the_rules(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        message = "needs promtool: apt-get install prometheus"
        if os.environ.get("TESTS_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, cwd=CASES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
