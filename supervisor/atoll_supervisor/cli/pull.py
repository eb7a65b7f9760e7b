"""`atoll pull MODEL`: fetch and verify a model's weights."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import places
from atoll_supervisor.cli.terminal import is_screen, out, out_json
from atoll_supervisor.core.plain import plain_line

if TYPE_CHECKING:
    from atoll.adapters.pull import Progress

_STEP = 10
"""Percent between two lines where nobody watches a bar."""


@click.command()
@click.argument("model")
@finds_daemon
def pull(model: str) -> None:
    """Download a model for the `local` back end."""
    progress = _pull(model)
    if given().json:
        for step in progress:
            out_json(step, pretty=False)
    elif is_screen(sys.stderr):
        _draw(progress)
    else:
        for line in _lines(progress):
            out(line)


def _pull(model: str) -> "Iterator[Progress]":
    # Late: it brings an HTTP client along.
    from atoll.adapters.pull import pull as fetch  # noqa: PLC0415

    return fetch(model, places())


def _draw(progress: "Iterator[Progress]") -> None:
    # Late: rich is only worth its import time where somebody watches.
    from atoll_supervisor.cli.screen import draw_progress  # noqa: PLC0415

    draw_progress((plain_line(step.status), step.completed, step.total) for step in progress)


def _lines(progress: "Iterator[Progress]") -> Iterator[str]:
    """A line for each new status, and for every tenth of a long one."""
    told = ("", -1)
    for step in progress:
        percent = 100 * step.completed // step.total if step.total else 0
        now = (step.status, percent // _STEP)
        if now != told:
            told = now
            yield plain_line(f"{step.status} {percent}%" if step.total else step.status)
