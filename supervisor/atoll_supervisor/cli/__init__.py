"""The command line: one command, one module."""

from atoll_supervisor.cli.root import main

__all__ = ["main"]
