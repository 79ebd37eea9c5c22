"""Asks whether any locked dependency has a known vulnerability, and says so when there was nobody to ask.

``python -m tests.audit``: exit code 0 where none is known, or where the index could not be reached (which is said, for
an audit that did not take place is no good news); 1 where one is known. With ``AUDIT_REQUIRED=1`` one that did not take
place is a failure, too. pip-audit is run by uv where there is one, else as it is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

LOCK = Path(__file__).parents[1] / "requirements.lock"
PIP_AUDIT = "pip-audit==2.10.1"
# The index is asked for each of some eighty packages.
_TIMEOUT_S = 300
_ARGUMENTS = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--requirement")


class Findings(NamedTuple):
    """What an audit found: vulnerable packages, and those that nobody could be asked about."""

    vulnerable: list[str]
    unknown: list[str]
    asked: int


def read(report: str) -> Findings:
    """The findings in pip-audit's report. Raises ``ValueError`` for what is none."""
    dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    vulnerable = [
        f"{one['name']} {one['version']}: {', '.join(known['id'] for known in one['vulns'])}"
        for one in dependencies
        if one.get("vulns")
    ]
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    return Findings(vulnerable, unknown, len(dependencies) - len(unknown))


def verdict(findings: Findings | None, *, required: bool) -> tuple[int, str]:
    """The exit code and a sentence. None: there was no report at all."""
    if findings is not None and findings.vulnerable:
        return 1, "Known vulnerabilities:\n  " + "\n  ".join(findings.vulnerable)
    if findings is None or not findings.asked:
        return int(required), "NOT AUDITED: pip-audit or the index of vulnerabilities could not be reached from here."
    if findings.unknown:
        return int(required), f"Audited {findings.asked}; NOT AUDITED, for nobody knew them: {findings.unknown}."
    return 0, f"Audited {findings.asked} packages; no vulnerability is known."


def audit(lock: Path = LOCK) -> Findings | None:
    """Runs pip-audit over a lock; None where it could not run."""
    uv = shutil.which("uv")
    command = [uv, "tool", "run", PIP_AUDIT] if uv else [sys.executable, "-m", "pip_audit"]
    try:
        ran = subprocess.run(
            [*command, *_ARGUMENTS, str(lock)], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        return read(ran.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None


def main() -> int:
    """The exit code."""
    code, text = verdict(audit(), required=os.environ.get("AUDIT_REQUIRED") == "1")
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
