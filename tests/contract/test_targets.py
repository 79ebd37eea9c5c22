"""Every deployment that is set up is a target of the live tests, not the first alone."""

from pathlib import Path

from tests.contract.targets import LIVE, live_targets

ROWS = "".join(
    f'[[deployment]]\nname = "{name}"\nendpoint = "https://{name}.openai.azure.com"\ndeployment = "d"\n'
    for name in ("sweden", "east")
)


def test_each_listed_deployment_is_a_target(tmp_path: Path) -> None:
    file = tmp_path / "deployments.toml"
    file.write_text(ROWS)
    assert live_targets({"LIVEAVATAR_DEPLOYMENTS": str(file)}, None) == (f"{LIVE}-sweden", f"{LIVE}-east")


def test_a_single_deployment_is_one(tmp_path: Path) -> None:
    (target,) = live_targets({"OPENAI_API_KEY": "sk-0123456789abcdef"}, None)
    assert target.startswith(f"{LIVE}-")


def test_without_any_there_is_one_that_says_so() -> None:
    assert live_targets({}, None) == (LIVE,)
    assert live_targets({"LIVEAVATAR_DEPLOYMENTS": "none.toml"}, None) == (LIVE,)
