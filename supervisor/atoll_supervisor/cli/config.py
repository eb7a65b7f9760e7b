"""`atoll config check [PATH]`: every mistake in manifests, before anything runs."""

import os
from pathlib import Path

import click
from msgspec import Struct

from atoll.config.check import check
from atoll.errors import Problem
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import settings
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.plain import plain_text


class Checked(Struct, frozen=True):
    """What `--json` prints."""

    ok: bool
    problems: tuple[Problem, ...]


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command("check")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@finds_daemon
def check_config(path: Path | None) -> int:
    """Check a manifest, or a folder of agents (default: the agents directory)."""
    place = path or _agents_dir()
    problems = check(place, os.environ, Path.cwd())
    if given().json:
        out_json(Checked(not problems, problems))
    else:
        _tell(place, problems)
    return Exit.CONFIG if problems else Exit.OK


def _agents_dir() -> Path:
    found = settings().agents_dir
    if not found.is_dir():
        message = f"there is no directory {found}"
        raise Failure(message, Exit.CONFIG, "name a manifest or a folder of agents")
    return found


def _tell(path: Path, problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        out(plain_text(str(problem)))
    if problems:
        say(f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}")
    else:
        out(f"{path}: good")
