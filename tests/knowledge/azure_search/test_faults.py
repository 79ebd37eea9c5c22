from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from server.knowledge.azure_search.faults import is_passing, retry_after_s

# 2026-11-23 02:00:00 GMT.
NOW = 1_795_399_200.0


def _answered(status: int, **headers: str) -> HttpResponseError:
    response: Any = SimpleNamespace(
        status_code=status, reason="", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return HttpResponseError("no", response=response)


def test_what_passes_is_tried_again_and_what_is_wrong_is_not() -> None:
    assert all(is_passing(_answered(status)) for status in (408, 429, 500, 502, 503, 504))
    assert not any(is_passing(_answered(status)) for status in (400, 401, 403, 404, 409, 413, 307))
    assert is_passing(ServiceRequestError("no way"))
    assert is_passing(ServiceResponseError("cut off"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "-2"}, 0.0),
        ({"retry_after_ms": "250", "retry_after": "1"}, 0.25),
        ({"x_ms_retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Mon, 23 Nov 2026 02:00:07 GMT"}, 7.0),
        ({"retry_after": "Mon, 23 Nov 2026 01:00:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_wait_is_read_however_it_is_written(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(_answered(429, **headers), now=NOW) == seconds
    assert retry_after_s(ServiceRequestError("no way"), now=NOW) is None
