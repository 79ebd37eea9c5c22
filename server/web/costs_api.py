"""What conversations cost, over HTTP: sums by day, principal, knowledge base, model and deployment."""

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Response

from protocol.errors import ClientFault
from server.store.records import Tokens
from server.store.views import CostLine, Dimension
from server.web.access import principal
from server.web.live import Records
from server.web.operations import Asked, Nothing, Operation, answer
from server.web.record_reading import store_faults, wanted_kb

__all__ = ["CostLines", "costs_operations"]

# Some megabytes. Whoever wants more asks for fewer days.
_LINES_MAX = 10_000
_DIMENSION = "(day|principal_id|kb_id|model|deployment)"


class CostsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By what costs are added up, several with commas; which days (UTC), both within; of which knowledge base."""

    by: Annotated[str, Meta(pattern=rf"^{_DIMENSION}(,{_DIMENSION}){{0,4}}$")] = "day"
    since: dt.date | UnsetType = UNSET
    until: dt.date | UnsetType = UNSET
    kb_id: Annotated[str, Meta(min_length=1, max_length=512)] | UnsetType = UNSET


class CostLines(msgspec.Struct, frozen=True):
    """Costs, ordered by what they are added up by."""

    lines: list[CostLine]


def costs_operations(records: Records) -> list[Operation[Any, Any]]:
    """The operation on costs."""

    async def costs(asked: Asked[CostsQuery, Nothing]) -> Response:
        query = asked.query
        by = cast("list[Dimension]", query.by.split(","))
        kb_id = wanted_kb(principal(), None if query.kb_id is UNSET else query.kb_id)
        async with store_faults():
            lines = await records.reader.costs(
                by if kb_id is None else [*by, "kb_id"],
                since_day=None if query.since is UNSET else query.since.isoformat(),
                until_day=None if query.until is UNSET else query.until.isoformat(),
            )
        if kb_id is not None:
            lines = _together((line for line in lines if line.kb_id == kb_id), by)
        if len(lines) > _LINES_MAX:
            text = f"These are more than {_LINES_MAX} lines: ask for fewer days or dimensions."
            raise ClientFault(text, code="too_many_lines")
        return answer(CostLines(lines))

    return [
        Operation(
            method="GET",
            path="/api/costs",
            name="list_costs",
            summary="What conversations cost, added up",
            answer=costs,
            reply=CostLines,
            scopes=("records",),
            query=CostsQuery,
        )
    ]


def _together(lines: Iterable[CostLine], by: Sequence[Dimension]) -> list[CostLine]:
    """Lines of one knowledge base, added up by fewer dimensions."""
    sums: dict[tuple[Any, ...], CostLine] = {}
    for line in lines:
        place = tuple(getattr(line, name) for name in by)
        known = sums.get(place)
        sums[place] = CostLine(
            **dict(zip(by, place, strict=True)),
            lines=line.lines + (known.lines if known else 0),
            tokens=_added(line.tokens, known.tokens) if known else line.tokens,
            audio_ms=line.audio_ms + (known.audio_ms if known else 0),
            cost_usd=line.cost_usd + (known.cost_usd if known else Decimal(0)),
        )
    return list(sums.values())


def _added(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(**{name: getattr(one, name) + getattr(other, name) for name in Tokens.__struct_fields__})
