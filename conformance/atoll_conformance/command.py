"""The command line: `python -m atoll_conformance --url http://127.0.0.1:11434`."""

import asyncio
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

import httpx
from msgspec import Struct

from atoll_conformance.profile import BadProfile, Profile, load_profile
from atoll_conformance.report import counts, document, line, total
from atoll_conformance.rows import Row
from atoll_conformance.run import LIMIT, Outcome, Target, first_model, run_suite
from atoll_conformance.table import chosen
from atoll_conformance.verdict import Wrong

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
URL = "http://127.0.0.1:11434"
"""Where Ollama listens."""
_WIPE = "\r\x1b[K"


class Asked(Struct):
    """What was given on the command line; the first model is taken when none is named."""

    url: str = URL
    model: str = ""
    profile: Path | None = None
    only: str = ""
    timeout: float = LIMIT
    json: bool = False
    clients: Path | None = None


def main(argv: Sequence[str]) -> int:
    """Run one command line: 0 when no row failed, 1 when one did, 2 for wrong use."""
    asked = Asked()
    _parser().parse_args(argv, namespace=asked)
    return run_asked(asked)


def run_asked(asked: Asked) -> int:
    """Run what was asked and print it; the exit code."""
    try:
        rows = chosen(asked.only.split(","))
        profile = load_profile(asked.profile) if asked.profile else Profile()
        return asyncio.run(_run(asked, rows, profile))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BadProfile, ValueError, httpx.InvalidURL) as error:
        return _complain(str(error), USAGE)
    except Wrong as wrong:
        return _complain(f"expected {wrong.expected}; came {wrong.came}", FAILED)


async def _run(asked: Asked, rows: list[Row], profile: Profile) -> int:
    model = asked.model or await first_model(asked.url, asked.timeout)
    target = Target(asked.url, model, profile, asked.timeout, asked.clients)
    outcomes: list[Outcome] = []
    _progress(rows, 0)
    async for outcome in run_suite(target, rows):
        outcomes.append(outcome)
        if not asked.json:
            _show(line(outcome, _colours()))
        _progress(rows, len(outcomes))
    _show(document(target, outcomes).decode() if asked.json else f"\n{total(outcomes)}")
    return FAILED if counts(outcomes)[1] else OK


def _progress(rows: list[Row], done: int) -> None:
    """Say on a terminal which row is being asked."""
    if sys.stderr.isatty():
        now = f"{rows[done].id} ({done + 1} of {len(rows)})" if done < len(rows) else ""
        sys.stderr.write(_WIPE + now)
        sys.stderr.flush()


def _show(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_WIPE)
        sys.stderr.flush()
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"atoll_conformance: {message}\n")
    return code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="atoll_conformance",
        description="Check how far a server is Ollama: 110 rows of black-box checks.",
        epilog="Some rows copy, pull, load and unload models; use a server of your own.",
    )
    parser.add_argument("--url", help=f"the server (default: {URL})")
    parser.add_argument("--model", help="the model to ask (default: the first that is listed)")
    parser.add_argument("--profile", type=Path, help="a TOML file with prompts for this model")
    parser.add_argument(
        "--clients",
        type=Path,
        metavar="DIR",
        help="an environment with clients, for G1 to G12",
    )
    parser.add_argument("--only", metavar="ROWS", help="rows and groups, as in A,B7")
    parser.add_argument(
        "--timeout", type=_seconds, help=f"seconds that a row may take (default: {LIMIT:g})"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one document")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
