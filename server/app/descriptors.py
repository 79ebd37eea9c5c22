"""How many descriptors the process may open, against how many its settings allow it to need. It opens none."""

import resource

import structlog

from server.settings import Settings

__all__ = ["make_room", "needed", "shortage"]

_log = structlog.get_logger("liveavatar.app")

# Files of indexes and records, listeners, Azure's connections, and an accept or a look-up on its way.
_OTHERS = 128
# Of a session: the service's connection, and the one that stands by to take over.
_UPSTREAM_PER_SESSION = 2


def needed(settings: Settings) -> int:
    """Descriptors that are open when everything is used that the settings allow."""
    return settings.max_connections + _UPSTREAM_PER_SESSION * settings.max_sessions + _OTHERS


def shortage(settings: Settings) -> str | None:
    """A sentence that says what to do where the system does not allow as many; None where it does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(settings)
    if hard == resource.RLIM_INFINITY or wanted <= hard:
        return None
    return (
        f"{wanted} descriptors are needed for LIVEAVATAR_MAX_CONNECTIONS={settings.max_connections} and "
        f"LIVEAVATAR_MAX_SESSIONS={settings.max_sessions}, and the system allows {hard}: strangers could take those of "
        "conversations. Set less, or raise the limit (ulimit -Hn, LimitNOFILE=)"
    )


def make_room(settings: Settings) -> None:
    """Raises the process's own limit to what the settings need, as far as the system lets it; warns where it does not.

    The usual soft limit of 1,024 is for programs that use ``select``, which nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(settings)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if (text := shortage(settings)) is not None:
        _log.warning("too few descriptors", why=text, setting="LIVEAVATAR_MAX_CONNECTIONS")
