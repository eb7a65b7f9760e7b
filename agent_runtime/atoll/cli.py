"""The command line of the agent runtime; every other command is the fleet's.

`--server` is handled here, without the fleet's libraries: an agent must start
fast and small.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from atoll import __version__
from atoll.config.loopback import FIRST_PORT, LAST_PORT

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8100
_NO_FLEET = """\
this command needs the supervisor (package atoll_supervisor), which is not installed here:
install the whole of ATOLL, or run `python -m atoll_supervisor` from a checkout.
One agent alone: python -m atoll --server --port 8100 --agent path/agent.toml
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's); returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args in (["--version"], ["-v"]):
        sys.stdout.write(f"atoll {__version__}\n")
        return 0
    if "--server" in args:
        return _serve(args)
    return _fleet(args)


def _serve(args: Sequence[str]) -> int:
    given = _parser().parse_args(args)
    from atoll.server import run_agent  # noqa: PLC0415  170 ms that --help and --version do without

    return run_agent(given.agent, given.host, given.port, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="atoll", allow_abbrev=False)
    parser.add_argument("--server", action="store_true", help="serve one agent alone")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 = any free port")
    parser.add_argument("--host", default=DEFAULT_HOST, help="another than loopback needs a token")
    parser.add_argument("--agent", type=Path, help="an agent.toml; without it a plain assistant")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not (int(text) == 0 or FIRST_PORT <= int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port (0, or {FIRST_PORT} to {LAST_PORT})"
        )
    return int(text)


def _fleet(args: list[str]) -> int:
    """Hand over to the fleet's commands, found without importing the supervisor's package."""
    for command in entry_points(group="atoll.commands", name="fleet"):
        return int(command.load()(args) or 0)
    sys.stderr.write(_NO_FLEET)
    return 1
