"""`atoll config check [PATH]`: every mistake in manifests, before anything runs."""

import os
from pathlib import Path

import click
from atoll.config.check import check
from msgspec import Struct

from atoll.errors import Problem
from atoll_supervisor.cli.codes import Exit
from atoll_supervisor.cli.options import common, given
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
@click.argument("path", default="atoll_agents", type=click.Path(exists=True, path_type=Path))
@common
def check_config(path: Path) -> int:
    """Check a manifest, or a folder of agents (default: ./atoll_agents)."""
    problems = tuple(check(path, os.environ))
    if given().json:
        out_json(Checked(not problems, problems))
    else:
        _tell(path, problems)
    return Exit.CONFIG if problems else Exit.OK


def _tell(path: Path, problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        out(plain_text(str(problem)))
    if problems:
        say(f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}")
    else:
        out(f"{path}: good")
