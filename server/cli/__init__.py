"""The command line: one module per command, thin over the rooms that do the work. It decides nothing of theirs.

Importing it is cheap on purpose: what a command needs is imported when that command runs.
"""

from server.cli.entry import main

__all__ = ["main"]
