"""The documentation says of each contract test how sure we are, and of nothing else."""

import re
from pathlib import Path

from protocol.realtime.error_classes import OF_CLOSE, OF_CODE, OF_STATUS, OF_TYPE

PAGE = Path("docs/verification.md")
TESTS = [Path(f"tests/contract/test_{name}.py") for name in ("realtime_service", "search_service")]


def test_every_contract_test_is_a_row_and_every_row_a_test() -> None:
    text = "".join(file.read_text() for file in TESTS)
    tests = re.findall(r"^async def (test_\w+)", text, re.MULTILINE)
    rows = re.findall(r"\| `(test_\w+)` \|", PAGE.read_text())
    assert rows == tests


def test_the_table_of_error_classes_is_documented() -> None:
    text = Path("docs/upstream.md").read_text()
    rows = dict(re.findall(r"^\| (benign|retry|recycle|fatal) \| (.*?) \|", text, re.MULTILINE))
    for code, kind in OF_CODE.items():
        assert f"`{code}`" in rows[kind.value], code
    for error_type, kind in OF_TYPE.items():
        assert f"`{error_type}`" in rows[kind.value], error_type
    for status, kind in OF_STATUS.items():
        assert str(status) in rows[kind.value].replace("5xx", "500, 502, 503, 504"), status
    for close, kind in OF_CLOSE.items():
        assert str(close) in rows[kind.value], close
