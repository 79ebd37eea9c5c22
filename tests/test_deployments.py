"""The file that lists deployments: what it may say, and what is said about it where it cannot work."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prices.rates import Rates
from protocol.prices.terms import Terms
from server.app.cloud import secrets_by_reference
from server.deployments import read_deployments
from server.settings import SettingsError, load

KEY = "canary-0123456789"
TWO = """
[[deployment]]
name = "sweden"
endpoint = "https://sweden.openai.azure.com"
deployment = "gpt-realtime"
region = "swedencentral"
weight = 3
transcription_model = "whisper-se"
api_key_variable = "SWEDEN_KEY"

[[deployment]]
name = "spare"
service = "openai"
endpoint = "https://api.openai.com/v1"
deployment = "gpt-realtime-2.1"
priority = 2
api_key_variable = "SPARE_KEY"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deployments.toml"


def problems_of(file: Path, text: str, **values: str) -> list[str]:
    file.write_text(text)
    problems: list[str] = []
    read_deployments(file, values, problems)
    assert KEY not in "".join(problems)
    return problems


def test_what_it_says_of_each(file: Path) -> None:
    file.write_text(TWO)
    problems: list[str] = []
    sweden, spare = read_deployments(file, {"SWEDEN_KEY": KEY, "SPARE_KEY": KEY + "2"}, problems)
    assert problems == []
    assert (sweden.name, sweden.service, sweden.region, sweden.weight) == ("sweden", "azure", "swedencentral", 3)
    assert (sweden.deployment, sweden.transcription_model, sweden.priority) == ("gpt-realtime", "whisper-se", 1)
    assert sweden.key is not None
    assert sweden.key.reveal() == KEY
    assert (spare.service, spare.priority, spare.weight) == ("openai", 2, 1)
    assert spare.key_name == "SPARE_KEY"
    assert spare.endpoint_name == "endpoint of spare in deployments.toml"


PRICED = """
[[deployment]]
name = "sweden"
endpoint = "https://sweden.openai.azure.com"
deployment = "avatar-prod"
model = "gpt-realtime-2025-08-28"
transcription_priced_as = "whisper-1"
uplift_percent = 10

[[deployment]]
name = "contract"
endpoint = "https://contract.openai.azure.com"
deployment = "avatar-prod"
weight = 2.5
[deployment.prices]
unit = "1M tokens"
text = { input = 3.20, output = 12.80 }
[deployment.transcription_prices]
unit = "minute"
audio = { input = 0.0048 }
"""


def test_what_it_says_of_prices(file: Path) -> None:
    file.write_text(PRICED)
    settings = load({"LIVEAVATAR_DEPLOYMENTS": str(file)})
    sweden, contract = (spec.terms for spec in settings.deployments)
    assert sweden == Terms(
        deployment="sweden",
        model="gpt-realtime-2025-08-28",
        transcription_model="whisper-1",
        uplift_percent=Decimal(10),
    )
    assert contract.deployment == "contract"
    assert contract.rates == Rates({("text", "input"): Decimal("3.20"), ("text", "output"): Decimal("12.80")})
    assert contract.transcription_rates == Rates(minute=Decimal("0.0048"))
    assert settings.deployments[1].weight == 2.5


@pytest.mark.parametrize("field", ["model", "transcription_priced_as"])
def test_a_model_that_has_no_price_is_named_at_the_start(file: Path, field: str) -> None:
    file.write_text(ROW + f'{field} = "gpt-realtme"')
    with pytest.raises(SettingsError, match=f"deployment a: {field} gpt-realtme: there is no price for it"):
        load({"LIVEAVATAR_DEPLOYMENTS": str(file)})
    prices = file.with_name("prices.toml")
    rows = ('unit = "1M tokens"\ntext = { input = 1 }', 'use = "transcription"\nunit = "minute"\naudio = { input = 1 }')
    prices.write_text("".join(f'[[price]]\nmodels = ["gpt-realtme"]\n{row}\n' for row in rows))
    assert load({"LIVEAVATAR_DEPLOYMENTS": str(file), "LIVEAVATAR_PRICES": str(prices)}).deployments


ROW = '[[deployment]]\nname = "a"\nendpoint = "https://a.openai.azure.com"\ndeployment = "d"\n'


def test_an_azure_deployment_without_a_key_is_shown_the_servers_identity(file: Path) -> None:
    file.write_text(ROW)
    problems: list[str] = []
    (only,) = read_deployments(file, {}, problems)
    assert only.key is None
    assert problems == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `deployment`"),
        ("deployment = []", "lists no"),
        ("= 3", "is not TOML"),
        (ROW + "wieght = 3", "unknown field `wieght`"),
        (ROW + "weight = 0", "deployment a: weight must be above 0"),
        (ROW + "weight = inf", "weight must be above 0"),
        (ROW + "priority = 0", "priority must be at least 1"),
        (ROW + 'weight = "much"', "Expected `float`"),
        (ROW + ROW, "another one's"),
        (ROW.replace('"a"', '" "'), "its name is empty"),
        (ROW.replace('"d"', '""'), "endpoint or deployment is empty"),
        (ROW + f'api_key = "{KEY}"', "Keys do not belong in this file"),
        (ROW + 'api_key_variable = "NOT_THERE"', "the variable NOT_THERE is not set"),
        (ROW + 'api_key = "keyvault:https://v.vault.azure.net/secrets/k"\napi_key_variable = "B"', "not both"),
        (ROW + 'service = "openai"', "OpenAI needs a key"),
        (ROW + 'service = "other"', "Invalid enum value"),
        (ROW + "uplift_percent = -10", "deployment a: uplift_percent must be from 0 to 100, not -10"),
        (ROW + "uplift_percent = 1000", "uplift_percent must be from 0 to 100"),
        (ROW + "uplift_percent = 0.0001", "uplift_percent must have at most 3 decimals"),
        (ROW + "uplift_percent = nan", "uplift_percent must be a number"),
        (ROW + 'uplift_percent = "ten"', "uplift_percent"),
        (ROW + "[deployment.prices]\ntext = { input = 4 }", "missing required field `unit`"),
        (ROW + '[deployment.prices]\nunit = "1M tokens"\ntext = { inptu = 4 }', "unknown field `inptu`"),
        (
            ROW + '[deployment.prices]\nunit = "1M tokens"\ntext = { input = -4 }',
            "a: prices: text.input must be from 0",
        ),
        (ROW + '[deployment.transcription_prices]\nunit = "minute"\n', "a: transcription_prices: it says no price"),
    ],
)
def test_what_cannot_work_is_named_with_its_place(file: Path, text: str, said: str) -> None:
    problems = problems_of(file, text)
    assert any(said in problem for problem in problems), problems
    assert all(str(file) in problem for problem in problems)


@given(st.text())
def test_whatever_the_file_says_is_either_read_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.mktemp("any") / "deployments.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems: list[str] = []
    specs = read_deployments(file, {}, problems)
    assert bool(specs) != bool(problems)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_deployments(tmp_path / "none.toml", {}, problems) == ()
    assert "cannot be read" in problems[0]


# With the other settings


def test_the_settings_take_the_list_and_the_variables_it_names(file: Path) -> None:
    file.write_text(TWO.replace("SPARE_KEY", "LIVEAVATAR_SPARE_KEY"))
    values = {"LIVEAVATAR_DEPLOYMENTS": str(file), "SWEDEN_KEY": KEY, "LIVEAVATAR_SPARE_KEY": KEY}
    settings = load(values)
    assert [spec.name for spec in settings.deployments] == ["sweden", "spare"]
    assert settings.chosen_upstream == "azure"
    assert load({**values, "LIVEAVATAR_UPSTREAM": "embedded"}).deployments == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"LIVEAVATAR_UPSTREAM": "azure"}, "the list says which service"),
        ({"SWEDEN_KEY": "with blank"}, "SWEDEN_KEY holds a blank"),
        ({"LIVEAVATAR_OTHER_KEY": KEY}, "LIVEAVATAR_OTHER_KEY is not a setting"),
    ],
)
def test_problems_of_both(file: Path, changes: dict[str, str], said: str) -> None:
    file.write_text(TWO)
    with pytest.raises(SettingsError) as error:
        load({"LIVEAVATAR_DEPLOYMENTS": str(file), "SWEDEN_KEY": KEY, "SPARE_KEY": KEY, **changes})
    assert said in str(error.value)
    assert KEY not in str(error.value)


def test_one_variable_is_one_secret_however_many_show_it(file: Path) -> None:
    file.write_text(
        TWO.replace("SPARE_KEY", "SWEDEN_KEY") + '[[deployment]]\nname = "third"\nservice = "openai"\n'
        'endpoint = "https://api.openai.com/v1"\ndeployment = "m"\napi_key_variable = "OPENAI_API_KEY"\n'
    )
    reference = "keyvault:https://vault.vault.azure.net/secrets/name"
    settings = load({"LIVEAVATAR_DEPLOYMENTS": str(file), "SWEDEN_KEY": reference, "OPENAI_API_KEY": reference})
    sweden, spare, third = settings.deployments
    assert sweden.key is spare.key
    assert third.key is settings.openai_api_key
    assert set(secrets_by_reference(settings)) == {"SWEDEN_KEY", "OPENAI_API_KEY"}


def test_plain_http_is_for_loopback(file: Path) -> None:
    file.write_text(ROW.replace("https://", "http://"))
    with pytest.raises(SettingsError, match=r"endpoint of a in deployments\.toml must be an https"):
        load({"LIVEAVATAR_DEPLOYMENTS": str(file)})


def test_the_example_in_the_documentation_is_one() -> None:
    text = Path("docs/upstream.md").read_text()
    example = text.split("```toml\n", 1)[1].split("```", 1)[0]
    assert {row["name"] for row in tomllib.loads(example)["deployment"]}
