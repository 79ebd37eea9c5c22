"""Handshakes, judged: each service's paths, credentials, refusals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.admission import Admitted, admit, admit_issuing, service_of
from server.simulator.client_secrets import ClientSecrets
from server.simulator.credentials import Accepts, Credentials
from server.simulator.manners import Refused
from server.simulator.settings import SimulatorSettings

BOTH = SimulatorSettings()
AZURE = SimulatorSettings(service="azure")
OPENAI = SimulatorSettings(service="openai")
KEY = "the-right-key"
AT_AZURE = "/openai/v1/realtime?model=m"
AT_OPENAI = "/v1/realtime?model=m"


def judge(
    target: str,
    settings: SimulatorSettings = BOTH,
    *,
    key: str = "",
    accepts: Accepts | None = None,
    offered: Any = (),
    **headers: str,
) -> Admitted | Refused:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    credentials = Credentials(key, "", accepts)
    return admit(target, pairs, offered, settings, credentials, ClientSecrets(settings))


def refusal(*args: Any, **kwargs: Any) -> Refused:
    verdict = judge(*args, **kwargs)
    assert isinstance(verdict, Refused)
    return verdict


# -- paths --------------------------------------------------------------------------------------------------------


def test_where_both_are_served_the_path_tells_the_service() -> None:
    assert judge("/openai/v1/realtime?model=d") == Admitted(service="azure", model="d")
    assert judge("/v1/realtime?model=d") == judge("/realtime?model=d") == Admitted(service="openai", model="d")
    assert judge("/v1/realtime/?model=d") == Admitted(service="openai", model="d")


def test_each_service_alone_has_its_own_path_and_no_other() -> None:
    assert judge(AT_AZURE, AZURE) == Admitted(service="azure", model="m")
    assert judge(AT_OPENAI, OPENAI) == Admitted(service="openai", model="m")
    for target, settings in ((AT_OPENAI, AZURE), (AT_AZURE, OPENAI), ("/realtime?model=m", OPENAI)):
        refused = refusal(target, settings)
        assert (refused.status, refused.close_code) == (404, 0)


@pytest.mark.parametrize("target", ["/", "/v1/chat?model=m", "//[", "*", "/openai/v1", "/openai/deployments/m"])
@pytest.mark.parametrize("settings", [BOTH, AZURE, OPENAI])
def test_any_other_path_is_not_found(target: str, settings: SimulatorSettings) -> None:
    assert refusal(target, settings).status == 404


def test_the_dated_path_is_retired() -> None:
    refused = refusal("/openai/realtime?api-version=2025-04-01-preview&deployment=m", AZURE)
    assert refused.status == 404
    assert refused.body() == {"error": {"code": "404", "message": "Resource not found"}}


def test_a_target_tells_whose_manners_answer_it() -> None:
    assert service_of("/openai/realtime", BOTH) == "azure"
    assert service_of("/elsewhere", BOTH) == "openai"
    assert service_of("/elsewhere", AZURE) == "azure"


# -- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (AT_AZURE, {"api_key": KEY}),
        (AT_AZURE, {"authorization": f"Bearer {KEY}"}),
        (AT_AZURE, {"authorization": f"bearer  {KEY}"}),
        (f"{AT_AZURE}&api-key={KEY}", {}),
        (AT_OPENAI, {"authorization": f"Bearer {KEY}"}),
    ],
)
def test_a_key_opens_the_door_where_the_service_takes_it(target: str, headers: Any) -> None:
    assert isinstance(judge(target, key=KEY, **headers), Admitted)


def test_a_browser_brings_its_key_as_a_subprotocol_to_openai() -> None:
    offered = ("realtime", f"openai-insecure-api-key.{KEY}", "openai-organization.o", "openai-project.p")
    assert judge(AT_OPENAI, key=KEY, offered=offered) == Admitted(service="openai", model="m", subprotocol="realtime")
    assert refusal(AT_AZURE, key=KEY, offered=offered).status == 401


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (AT_AZURE, {}),
        (AT_AZURE, {"api_key": "wrong"}),
        (AT_AZURE, {"api_key": KEY[:-1]}),
        (AT_AZURE, {"authorization": f"Basic {KEY}"}),
        (AT_AZURE, {"authorization": KEY}),
        (AT_AZURE, {"api_key": "sécret"}),
        (f"{AT_AZURE}&api-key=wrong", {}),
    ],
)
def test_azure_says_401_in_its_own_words(target: str, headers: dict[str, str]) -> None:
    refused = refusal(target, key=KEY, **headers)
    assert (refused.status, refused.close_code, refused.retry_after) == (401, 0, None)
    error = refused.body()["error"]
    assert error["code"] == "401"
    assert error["message"].startswith("Access denied due to invalid subscription key or wrong API endpoint.")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"api_key": KEY}])
def test_openai_closes_3000_and_takes_no_key_of_azures_kind(headers: dict[str, str]) -> None:
    refused = refusal(AT_OPENAI, key=KEY, **headers)
    assert (refused.code, refused.close_code) == ("invalid_api_key", 3000)
    assert refused.close_reason == "invalid_request_error.invalid_api_key"
    assert isinstance(refusal(f"{AT_OPENAI}&api-key={KEY}", key=KEY), Refused)


def test_a_token_is_judged_at_azures_path_only() -> None:
    seen: list[str] = []

    def accepts(token: str) -> bool:
        seen.append(token)
        return token == "entra.good"

    assert isinstance(judge(AT_AZURE, accepts=accepts, authorization="Bearer entra.good"), Admitted)
    assert isinstance(judge(AT_AZURE, key=KEY, accepts=accepts, api_key=KEY), Admitted)
    refused = refusal(AT_AZURE, key=KEY, accepts=accepts, authorization="Bearer entra.expired")
    assert refused.status == 401
    assert refused.body()["message"].startswith("Unauthorized. Access token is missing, invalid, audience is incorrect")
    assert seen == ["entra.good", "entra.expired"]
    assert refusal(AT_AZURE, accepts=accepts, api_key="entra.good").status == 401
    assert refusal(AT_OPENAI, accepts=accepts, authorization="Bearer entra.good").close_code == 3000


def test_the_credential_comes_before_the_model_and_the_version() -> None:
    assert refusal("/v1/realtime", key=KEY).code == "invalid_api_key"
    assert refusal("/openai/v1/realtime?api-version=v1", key=KEY).status == 401


# -- models -------------------------------------------------------------------------------------------------------


SOME = ("a", "b")


def test_azure_knows_deployments() -> None:
    some = SimulatorSettings(service="azure", models=SOME)
    assert judge("/openai/v1/realtime?model=b", some) == Admitted(service="azure", model="b")
    unknown = refusal("/openai/v1/realtime?model=c", some)
    assert (unknown.status, unknown.body()["error"]["code"]) == (404, "DeploymentNotFound")
    assert refusal("/openai/v1/realtime", some).status == 400
    assert refusal(f"/openai/v1/realtime?model={'x' * 300}", AZURE).status == 404


def test_openai_knows_models() -> None:
    some = SimulatorSettings(service="openai", models=SOME)
    assert judge("/v1/realtime?model=b", some) == Admitted(service="openai", model="b")
    told = [
        (refused.code, refused.close_code)
        for refused in (
            refusal("/v1/realtime?model=c", some),
            refusal("/v1/realtime?model=", some),
            refusal("/v1/realtime?call_id=rtc_1", some),
            refusal(f"/v1/realtime?model={'x' * 300}", OPENAI),
        )
    ]
    assert told == [
        ("model_not_found", 4004),
        ("missing_model", 4000),
        ("missing_model", 4000),
        ("invalid_model", 4000),
    ]


def test_a_transcription_session_is_asked_for_by_its_intent() -> None:
    assert judge("/v1/realtime?intent=transcription") == Admitted(service="openai", transcription=True)
    assert judge("/openai/v1/realtime?intent=transcription") == Admitted(service="azure", transcription=True)
    assert refusal("/v1/realtime?intent=translation").code == "missing_model"


def test_azure_refuses_an_api_version_and_openai_the_beta() -> None:
    dated = refusal(f"{AT_AZURE}&api-version=2025-04-01-preview")
    message = "api-version query parameter is not allowed when using /v1 path"
    assert (dated.status, dated.body()) == (400, {"error": {"code": "BadRequest", "message": message}})
    assert isinstance(judge(f"{AT_OPENAI}&api-version=2025-04-01-preview"), Admitted)
    assert refusal(AT_OPENAI, openai_beta="realtime=v1").code == "beta_api_shape_disabled"
    assert refusal(AT_OPENAI, offered=("realtime", "openai-beta.realtime-v1")).close_code == 4000
    assert isinstance(judge(AT_AZURE, openai_beta="realtime=v1"), Admitted)


def test_realtime_is_selected_only_where_it_is_offered() -> None:
    assert judge(AT_OPENAI, offered=("other",)) == Admitted(service="openai", model="m")
    verdict = judge(AT_OPENAI, offered=("other", "realtime"))
    assert verdict == Admitted(service="openai", model="m", subprotocol="realtime")
    assert refusal("/v1/realtime", offered=("realtime",)).subprotocol == "realtime"


# -- client secrets -----------------------------------------------------------------------------------------------


def issuing(target: str, settings: SimulatorSettings = BOTH, key: str = KEY, **headers: str) -> Any:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return admit_issuing(target, pairs, settings, Credentials(key))


def test_a_secret_is_issued_at_either_services_path_to_whoever_has_the_key() -> None:
    assert issuing("/v1/realtime/client_secrets", authorization=f"Bearer {KEY}") == "openai"
    assert issuing("/openai/v1/realtime/client_secrets", api_key=KEY) == "azure"
    assert issuing("/v1/realtime/client_secrets", api_key=KEY).status == 401
    assert issuing("/v1/realtime/client_secrets", key="", authorization="Bearer ek_another").status == 401


@pytest.mark.parametrize("target", ["/v1/realtime", "/v1/realtime/sessions", "/realtime/client_secrets", "/", "//["])
def test_nothing_else_can_be_posted(target: str) -> None:
    assert issuing(target, authorization=f"Bearer {KEY}").status == 404
    assert issuing("/openai/v1/realtime/client_secrets", OPENAI, authorization=f"Bearer {KEY}").status == 404


@given(st.text(max_size=60), st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20)), max_size=4))
def test_no_request_makes_it_raise(target: str, headers: list[tuple[bytes, bytes]]) -> None:
    for settings in (BOTH, AZURE, OPENAI):
        admit(target, headers, (), settings, Credentials(KEY), ClientSecrets(settings))
        admit_issuing(target, headers, settings, Credentials(KEY))
