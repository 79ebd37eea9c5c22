"""The deployments of the Realtime service that an operator lists in a TOML file. It checks them and opens nothing."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from protocol.prices.rates import Rates
from protocol.prices.terms import Terms
from server.azure.references import is_reference, read_secret
from server.prices.tables import PriceTable, problem_with, rates_of, reworded
from server.secret import Secret

# Regional deployments are a tenth dearer. What is more than twice the price is a slip.
UPLIFT_PERCENT_MAX = 100
UPLIFT_DECIMALS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """One place that serves sessions.

    Attributes:
        name: what it is called in logs, health and records.
        endpoint: the Azure resource, or the base URL of an OpenAI API.
        deployment: what is asked for: the Azure deployment, or the model.
        region: where it is, for people and records.
        priority: 1 is asked first; the next only when none of those can be had.
        weight: of several with one priority, how often this one is asked first, in proportion.
        transcription_model: transcribes the user's speech; None is the server's own setting.
        key: None where the server's identity is shown instead (Azure).
        key_name, deployment_name, endpoint_name: the settings to look at.
        model, transcription_priced_as: whose prices hold; None leaves it to what the service says that it runs.
        uplift_percent: by how much it is dearer than the price book says.
        rates, transcription_rates: its own prices, before the book's.
    """

    name: str
    service: Literal["azure", "openai"]
    endpoint: str
    deployment: str
    region: str = ""
    priority: int = 1
    weight: float = 1.0
    transcription_model: str | None = None
    key: Secret | None = None
    key_name: str
    deployment_name: str
    endpoint_name: str
    model: str | None = None
    transcription_priced_as: str | None = None
    uplift_percent: Decimal = Decimal(0)
    rates: Rates | None = None
    transcription_rates: Rates | None = None

    @property
    def terms(self) -> Terms:
        """What using it costs."""
        return Terms(
            deployment=self.name,
            model=self.model,
            transcription_model=self.transcription_priced_as,
            uplift_percent=self.uplift_percent,
            rates=self.rates,
            transcription_rates=self.transcription_rates,
        )


class _Row(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A ``[[deployment]]`` of the file."""

    name: str
    service: Literal["azure", "openai"] = "azure"
    endpoint: str
    deployment: str
    region: str = ""
    priority: int = 1
    weight: float = 1.0
    transcription_model: str | None = None
    api_key: str | None = None
    api_key_variable: str | None = None
    model: str | None = None
    transcription_priced_as: str | None = None
    uplift_percent: Decimal = Decimal(0)
    prices: PriceTable | None = None
    transcription_prices: PriceTable | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    deployment: list[_Row]


def variables_named(path: Path) -> frozenset[str]:
    """The environment variables that the file takes keys from; none if it cannot be read, which reading it tells."""
    try:
        rows = _read(path)
    except ValueError:
        return frozenset()
    return frozenset(row.api_key_variable for row in rows if row.api_key_variable)


def read_deployments(
    path: Path, values: Mapping[str, str], problems: list[str], known: Mapping[str, Secret] | None = None
) -> tuple[DeploymentSpec, ...]:
    """The deployments of the file, in its order.

    Args:
        values: the environment variables, with those of the ``.env`` file.
        problems: gets a sentence for everything that cannot work, with the place in the file.
        known: secrets that were read already, by the name of their variable.
    """
    try:
        rows = _read(path)
    except ValueError as error:
        problems.append(f"LIVEAVATAR_DEPLOYMENTS={path}: {error}")
        return ()
    specs = []
    names: set[str] = set()
    # Of one variable there is one secret, however many show it: it is looked up, and renewed, once.
    secrets = dict(known or {})
    for number, row in enumerate(rows, start=1):
        found: list[str] = []
        key = _key(row, values, secrets, found)
        if not row.name.strip() or row.name in names:
            found.append("its name is empty, or another one's.")
        names.add(row.name)
        if not row.endpoint or not row.deployment:
            found.append("endpoint or deployment is empty.")
        if row.priority < 1:
            found.append(f"priority must be at least 1, not {row.priority}.")
        if not (math.isfinite(row.weight) and row.weight > 0):
            found.append(f"weight must be above 0, not {row.weight:g}.")
        if problem := problem_with(row.uplift_percent, UPLIFT_PERCENT_MAX, UPLIFT_DECIMALS_MAX):
            found.append(f"uplift_percent {problem}.")
        rates = _rates(row.prices, "prices", found)
        transcription_rates = _rates(row.transcription_prices, "transcription_prices", found)
        where = f"{path}, deployment {row.name or number}"
        problems += [f"{where}: {text}" for text in found]
        specs.append(
            DeploymentSpec(
                name=row.name,
                service=row.service,
                endpoint=row.endpoint,
                deployment=row.deployment,
                region=row.region,
                priority=row.priority,
                weight=row.weight,
                transcription_model=row.transcription_model,
                key=key,
                key_name=row.api_key_variable or f"api_key of deployment {row.name} in {path.name}",
                deployment_name=f"deployment of {row.name} in {path.name}",
                endpoint_name=f"endpoint of {row.name} in {path.name}",
                model=row.model,
                transcription_priced_as=row.transcription_priced_as,
                uplift_percent=row.uplift_percent,
                rates=rates,
                transcription_rates=transcription_rates,
            )
        )
    if not specs:
        problems.append(f"LIVEAVATAR_DEPLOYMENTS={path}: it lists no [[deployment]].")
    return tuple(specs)


def _read(path: Path) -> list[_Row]:
    try:
        return msgspec.convert(_decoded(path), _File).deployment
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise ValueError(reworded(error)) from None


def _decoded(path: Path) -> dict[str, object]:
    # Prices are exact: 0.40 is 0.40.
    return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)


def _rates(table: PriceTable | None, name: str, found: list[str]) -> Rates | None:
    if table is None:
        return None
    problems: list[str] = []
    rates = rates_of(table, problems)
    found += [f"{name}: {problem}" for problem in problems]
    return rates


def _key(row: _Row, values: Mapping[str, str], secrets: dict[str, Secret], found: list[str]) -> Secret | None:
    if row.api_key is not None and row.api_key_variable is not None:
        found.append("set api_key or api_key_variable, not both.")
    if row.api_key is not None:
        if not is_reference(row.api_key):
            found.append(
                "api_key holds a key. Keys do not belong in this file: name a variable in api_key_variable, or write a "
                "Key Vault reference."
            )
            return None
        return _secret(row.api_key, found)
    if row.api_key_variable is None:
        if row.service == "openai":
            found.append("OpenAI needs a key: name a variable in api_key_variable.")
        return None
    if row.api_key_variable not in secrets:
        value = values.get(row.api_key_variable, "").strip()
        if not value:
            found.append(f"the variable {row.api_key_variable} is not set.")
            return None
        secret = _secret(value, found)
        if secret is None:
            return None
        secrets[row.api_key_variable] = secret
    return secrets[row.api_key_variable]


def _secret(text: str, found: list[str]) -> Secret | None:
    try:
        return read_secret(text)
    except ValueError as error:
        found.append(f"its key {error}")
        return None
