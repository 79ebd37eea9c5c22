"""The description of the API: made from what there is, and held to by schemathesis against a running server."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from server.security.principal import LOCAL
from server.web.app import _FOR_SOMEBODY, _PROBES
from tests.browser.desk import dashboard_server, now
from tests.browser.showcase import living, weeks

KEY = "opensesame-123456"
PROGRAM = Path(sys.executable).with_name("schemathesis")
PAGE = Path(__file__).parents[2].joinpath("docs/api.md").read_text(encoding="utf-8")
# What schemathesis may take of the build's time.
RUN_S = 25
# With its own start and its report.
BOUND_S = 58


async def described(folder: Path) -> dict[str, Any]:
    async with dashboard_server(folder) as server:
        request = f"GET /api/openapi.json HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await stream.send_all(request.encode())
            answer = b"".join([part async for part in stream])
    document: dict[str, Any] = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    return document


async def test_every_path_is_described_once_with_its_rights_and_refusals(tmp_path: Path) -> None:
    document = await described(tmp_path)
    assert document["openapi"] == "3.1.0"
    operations = {
        (method, path): operation for path, entry in document["paths"].items() for method, operation in entry.items()
    }
    assert {path for _, path in operations} >= {
        "/api/sessions", "/api/sessions/{session_id}", "/api/sessions/{session_id}/end", "/api/persons/{person}",
        "/api/sessions/{session_id}/export", "/api/costs", "/api/status", "/api/end-reasons", "/api/openapi.json",
        "/api/knowledge-bases", "/api/knowledge-bases/{kb_id}/passages", "/api/tickets", "/health", "/health/live",
        "/health/ready", "/v1/realtime/client_secrets", "/openai/v1/realtime/client_secrets",
    }  # fmt: skip
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert operations["get", "/api/sessions"]["security"][0] == {"bearer": ["records"]}
    assert operations["delete", "/api/sessions/{session_id}"]["security"][0] == {"bearer": ["administer"]}
    for (_, path), operation in operations.items():
        is_open = operation["security"] == [{}]
        assert is_open == (path in _PROBES), path
        assert is_open or path.startswith("/api/") or path in _FOR_SOMEBODY, path
        assert is_open or {"401", "403"} <= operation["responses"].keys(), path


async def test_fields_of_a_query_are_parameters_with_their_bounds(tmp_path: Path) -> None:
    document = await described(tmp_path)
    parameters = {parameter["name"]: parameter for parameter in document["paths"]["/api/sessions"]["get"]["parameters"]}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert parameters["state"]["schema"]["enum"] == ["live", "past"]
    assert not parameters["state"]["required"]
    assert "SessionsQuery" not in document["components"]["schemas"]
    assert "SessionAnswer" in document["components"]["schemas"]


async def test_the_page_lists_every_operation_with_its_scopes(tmp_path: Path) -> None:
    document = await described(tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:3] != "|--"]
    listed = {(row[0], row[1]): row[2] for row in rows if len(row) == 4 and row[1].startswith("`/")}
    expected = {}
    for path, entry in document["paths"].items():
        for method, operation in entry.items():
            scopes = ", ".join(f"`{scope}`" for scope in operation["security"][0].get("bearer", []))
            is_open = operation["security"] == [{}]
            expected[method.upper(), f"`{path}`"] = "nobody is asked" if is_open else scopes
    assert listed == expected


@pytest.mark.slow
async def test_schemathesis_finds_nothing_that_is_not_as_described(tmp_path: Path) -> None:
    if not PROGRAM.is_file():
        pytest.skip("needs schemathesis")
    # A query that is too long is refused with its head, before anybody reads it.
    (tmp_path / "schemathesis.toml").write_text(
        "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 429, 431, 503]\n"
    )
    async with dashboard_server(tmp_path, *living(now()), key=KEY, principal=LOCAL) as server:
        await server.desk.keep(weeks(now(), 20))
        with trio.fail_after(BOUND_S):
            done = await trio.run_process(
                [
                    str(PROGRAM), "run", f"{server.url}/api/openapi.json", "-H", f"Authorization: Bearer {KEY}",
                    "--phases", "coverage,fuzzing", "--max-examples", "4", "--seed", "7", "--no-color",
                    "--warnings", "off", "--max-time", str(RUN_S),
                ],
                check=False,
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
            )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
