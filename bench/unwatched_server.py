"""The server without records, metrics and traces, to be compared with the one that has them. Nobody serves with it.

There is no setting that switches them off together, for nobody should want that: what the composition root gives to
sessions is left out here, and all else is as it is.
"""

import sys
from typing import Any

from server.app import serving
from server.cli.entry import main
from server.session.registry import SessionRegistry

# What makes sessions record, count and trace.
_LEFT_OUT = ("records", "watch", "charged")


class UnwatchedRegistry(SessionRegistry):
    """Sessions that tell nobody what they do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in _LEFT_OUT:
            # KeyError where it is called otherwise by now: then this would compare the server with itself.
            del kwargs[name]
        super().__init__(*args, **kwargs)


if __name__ == "__main__":
    setattr(serving, "SessionRegistry", UnwatchedRegistry)  # noqa: B010 - it is an import of that module's, no name of it
    sys.exit(main())
