"""Limits that no test runs into by itself."""

from collections.abc import Callable, Mapping

from server.cluster.base import Rate
from server.cluster.in_process import InProcessLimits
from server.edge.allowances import Allowances
from server.edge.limits import AddressBounds, AddressLimits
from server.security.limits import SessionLimits
from server.security.pace import PaceBounds
from server.security.principal import Allowance, Principal
from server.security.refusals import Refusals

MUCH = Rate(1e6, 1e6)


def own_name_only(principal: Principal) -> Mapping[str, Allowance]:
    """What a session is counted on, where nothing was minted."""
    return {principal.id: principal.allowance}


def roomy_allowances(
    *,
    sessions: Rate = MUCH,
    pace: PaceBounds | None = None,
    default: Allowance | None = None,
    of: Callable[[Principal], Mapping[str, Allowance]] = own_name_only,
) -> Allowances:
    """Allowances that allow everything but what is said otherwise."""
    shared, refusals = InProcessLimits(), Refusals()
    return Allowances(
        AddressLimits(shared, AddressBounds(10**6, MUCH, sessions), refusals),
        SessionLimits(shared, pace or PaceBounds(MUCH, MUCH), refusals, most_sessions=200),
        refusals,
        of=of,
        default=default or Allowance(),
    )
