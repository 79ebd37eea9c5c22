"""An audit of dependencies says what it found, and never passes off as good news that nobody could be asked."""

import json
from typing import Any

import pytest

from tests.audit import LOCK, read, verdict

FINE = {"name": "trio", "version": "0.35.0", "vulns": []}
BAD = {"name": "h11", "version": "0.15.0", "vulns": [{"id": "GHSA-vqfr-h8mv-ghfj", "fix_versions": ["0.16.0"]}]}
SKIPPED = {"name": "attrs", "skip_reason": "Dependency not found on PyPI and could not be audited: attrs (26.1.0)"}


@pytest.mark.parametrize(
    ("dependencies", "codes", "said"),
    [
        ([FINE], (0, 0), "no vulnerability is known"),
        ([FINE, BAD], (1, 1), "h11 0.15.0: GHSA-vqfr-h8mv-ghfj"),
        ([SKIPPED, BAD], (1, 1), "h11 0.15.0"),
        ([SKIPPED], (0, 1), "NOT AUDITED"),
        ([FINE, SKIPPED], (0, 1), "NOT AUDITED, for nobody knew them: ['attrs']"),
        ([], (0, 1), "NOT AUDITED"),
    ],
)
def test_what_an_audit_says(dependencies: list[dict[str, Any]], codes: tuple[int, int], said: str) -> None:
    findings = read(json.dumps({"dependencies": dependencies, "fixes": []}))
    for required, code in zip((False, True), codes, strict=True):
        assert verdict(findings, required=required)[0] == code
        assert said in verdict(findings, required=required)[1]


def test_no_report_is_no_audit() -> None:
    assert verdict(None, required=False) == (0, verdict(None, required=True)[1])
    assert verdict(None, required=True)[0] == 1
    for text in ("", "null", "[]", "{}", "Traceback"):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read(text)


def test_what_is_audited_is_what_is_installed() -> None:
    names = [line.split("==")[0].lower() for line in LOCK.read_text().splitlines() if "==" in line]
    assert {"trio", "h11", "websockets", "msgspec", "hypercorn", "quart"} <= set(names)
