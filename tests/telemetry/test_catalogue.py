"""The catalogue follows Prometheus' rules for names, and the docs list what it has."""

import re

from server.cli.reference import pages
from server.telemetry.catalogue import BY_NAME, CATALOGUE, MetricSpec

NAME = re.compile(r"liveavatar(_[a-z0-9]+)+")


def test_every_name_is_there_once_and_says_its_unit() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    ends = {"s": "_seconds", "B": "_bytes", "USD": "_usd"}
    for spec in CATALOGUE:
        assert NAME.fullmatch(spec.name), spec.name
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert spec.name.removesuffix("_total").endswith(ends.get(spec.unit, "")), spec.name


def test_only_histograms_have_buckets_and_these_rise() -> None:
    for spec in CATALOGUE:
        assert bool(spec.bounds) == (spec.kind == "histogram"), spec.name
        assert list(spec.bounds) == sorted(set(spec.bounds)), spec.name


def test_values_are_listed_of_labels_that_there_are() -> None:
    for spec in CATALOGUE:
        assert {label for label, _ in spec.label_values} <= set(spec.labels), spec.name
        assert not {"le", "job", "instance"} & set(spec.labels), spec.name


def test_no_label_is_without_number() -> None:
    """Sessions, people and addresses are no labels: there is no end of them, and they are somebody's own."""
    forbidden = {"session", "session_id", "principal", "account", "address", "client_id", "user", "kb_id"}
    for spec in CATALOGUE:
        assert not forbidden & set(spec.labels), spec.name


def test_every_metric_is_in_the_docs_with_its_help() -> None:
    page = pages()["metrics.md"]
    for spec in CATALOGUE:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{spec.name}` |")]
        assert row.endswith(f"| {spec.help} |")
        assert spec.help.endswith(".")
        assert "|" not in spec.help
        for label in spec.labels:
            assert f"`{label}`" in row


def test_a_label_that_is_not_fixed_has_no_list() -> None:
    spec = MetricSpec("liveavatar_x", "gauge", "X.", labels=("a", "b"), label_values=(("a", ("1", "2")),))
    assert spec.values_of("a") == ("1", "2")
    assert spec.values_of("b") is None
