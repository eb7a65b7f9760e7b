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
from typing import TYPE_CHECKING, NamedTuple

from atoll import __version__
from atoll.config.loopback import FIRST_PORT, LAST_PORT

if TYPE_CHECKING:
    from litestar import Litestar

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8100
_NO_FLEET = """\
this command needs the supervisor (package atoll_supervisor), which is not installed here:
install the whole of ATOLL, or run `python -m atoll_supervisor` from a checkout.
One agent alone: python -m atoll --server --port 8100 --agent path/agent.toml
"""


def main(argv: Sequence[str] | None = None, routes: "Litestar | None" = None) -> int:
    """Run one command line (default: this process's); returns the exit code.

    `routes` are an agent's that were made before the command line was known.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args in (["--version"], ["-v"]):
        sys.stdout.write(f"atoll {__version__}\n")
        return 0
    if "--server" in args:
        return _serve(args, routes)
    return _fleet(args)


class Options(NamedTuple):
    """What `--server` was given."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    agent: Path | None = None


def _serve(args: Sequence[str], routes: "Litestar | None") -> int:
    given = _plain(args) or _parsed(args)
    from atoll.server import run_agent  # noqa: PLC0415  170 ms that --help and --version do without

    return run_agent(given.agent, given.host, given.port, os.environ, routes)


def _plain(args: Sequence[str]) -> Options | None:
    """What a supervisor writes, `--server --port N --agent PATH`, and None for all else.

    A forked agent that leaves argparse alone is smaller by 0.9 MiB.
    """
    match args:
        case ["--server", "--port", port, "--agent", path] if port.isdecimal():
            number = int(port)
            return Options(port=number, agent=Path(path)) if _is_port(number) else None
        case _:
            return None


def _parsed(args: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="atoll", allow_abbrev=False)
    parser.add_argument("--server", action="store_true", help="serve one agent alone")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 = any free port")
    parser.add_argument("--host", default=DEFAULT_HOST, help="another than loopback needs a token")
    parser.add_argument("--agent", type=Path, help="an agent.toml; without it a plain assistant")
    given = parser.parse_args(args)
    return Options(given.host, given.port, given.agent)


def _port(text: str) -> int:
    if not text.isdecimal() or not _is_port(int(text)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port (0, or {FIRST_PORT} to {LAST_PORT})"
        )
    return int(text)


def _is_port(number: int) -> bool:
    return number == 0 or FIRST_PORT <= number <= LAST_PORT


def _fleet(args: list[str]) -> int:
    """Hand over to the fleet's commands, found without importing the supervisor's package."""
    for command in entry_points(group="atoll.commands", name="fleet"):
        return int(command.load()(args) or 0)
    sys.stderr.write(_NO_FLEET)
    return 1
