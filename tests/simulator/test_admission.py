"""Handshakes, judged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.admission import Admitted, Refused, admit
from server.simulator.settings import SimulatorSettings

OPEN = SimulatorSettings()
LOCKED = SimulatorSettings(api_key="secret")


def judge(
    target: str = "/openai/v1/realtime?model=m", settings: SimulatorSettings = OPEN, offered: Any = (), **headers: str
) -> Admitted | Refused:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return admit(target, pairs, offered, settings)


def refusal(*args: Any, **kwargs: Any) -> tuple[int, str, int]:
    verdict = judge(*args, **kwargs)
    assert isinstance(verdict, Refused)
    return verdict.status, verdict.code, verdict.close_code


@pytest.mark.parametrize("path", ["/openai/v1/realtime", "/v1/realtime", "/realtime", "/v1/realtime/"])
def test_three_paths_lead_to_a_session(path: str) -> None:
    assert judge(f"{path}?model=gpt-realtime") == Admitted("gpt-realtime", None)


@pytest.mark.parametrize("target", ["/", "/v1/chat?model=m", "/openai/realtime?model=m", "//[", "*"])
def test_any_other_path_is_not_found(target: str) -> None:
    assert refusal(target)[:2] == (404, "not_found")


@pytest.mark.parametrize(
    "headers",
    [{"api_key": "secret"}, {"authorization": "Bearer secret"}, {"authorization": "bearer  secret"}],
)
def test_a_key_may_come_in_either_header(headers: dict[str, str]) -> None:
    assert isinstance(judge(settings=LOCKED, **headers), Admitted)


def test_a_key_may_come_in_the_query_or_a_browsers_subprotocol() -> None:
    assert isinstance(judge("/v1/realtime?model=m&api-key=secret", LOCKED), Admitted)
    verdict = judge(settings=LOCKED, offered=("realtime", "openai-insecure-api-key.secret"))
    assert verdict == Admitted("m", "realtime")


@pytest.mark.parametrize(
    "headers",
    [{}, {"api_key": "wrong"}, {"authorization": "Basic secret"}, {"authorization": "secret"}, {"api_key": "sécret"}],
)
def test_a_missing_or_wrong_key_is_refused(headers: dict[str, str]) -> None:
    assert refusal(settings=LOCKED, **headers) == (401, "invalid_api_key", 3000)


def test_the_key_comes_before_the_model() -> None:
    assert refusal("/v1/realtime", LOCKED) == (401, "invalid_api_key", 3000)


def test_realtime_is_selected_only_where_it_is_offered() -> None:
    assert judge(offered=("other",)) == Admitted("m", None)
    assert judge(offered=("other", "realtime")) == Admitted("m", "realtime")


def test_models_are_checked_where_they_are_known() -> None:
    some = SimulatorSettings(models=("a", "b"))
    assert judge("/v1/realtime?model=b", some) == Admitted("b", None)
    assert refusal("/v1/realtime?model=c", some) == (404, "model_not_found", 4004)
    assert refusal("/v1/realtime?model=", some) == (400, "missing_model", 4000)
    assert refusal("/v1/realtime") == (400, "missing_model", 4000)
    assert refusal(f"/v1/realtime?model={'x' * 300}") == (400, "invalid_model", 4000)


def test_azure_refuses_an_api_version_and_openai_the_beta() -> None:
    openai = SimulatorSettings(service="openai")
    dated = "/openai/v1/realtime?model=m&api-version=2025-04-01-preview"
    assert refusal(dated)[0] == 400
    assert isinstance(judge(dated, openai), Admitted)
    assert refusal(settings=openai, openai_beta="realtime=v1") == (400, "beta_api_shape_disabled", 4000)
    assert refusal(settings=openai, offered=("realtime", "openai-beta.realtime-v1"))[1] == "beta_api_shape_disabled"
    assert isinstance(judge(openai_beta="realtime=v1"), Admitted)


def test_the_close_reason_follows_the_services_pattern() -> None:
    verdict = judge(settings=LOCKED)
    assert isinstance(verdict, Refused)
    assert verdict.close_reason == "invalid_request_error.invalid_api_key"


@given(st.text(max_size=60), st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20)), max_size=4))
def test_no_request_makes_it_raise(target: str, headers: list[tuple[bytes, bytes]]) -> None:
    admit(target, headers, (), LOCKED)
