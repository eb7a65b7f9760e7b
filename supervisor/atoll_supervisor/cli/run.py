"""`atoll run NAME [PROMPT]`: talk to an agent, once or in a conversation."""

import asyncio
import os
import select
import stat
import sys

import click

from atoll_supervisor.cli.codes import Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import say
from atoll_supervisor.core.row import Row

PATIENCE = 2.0
"""Seconds before a silent pipe is explained."""


@click.command()
@click.argument("name")
@click.argument("prompt", nargs=-1)
@click.option("--verbose", is_flag=True, help="Print timings after each answer.")
@finds_daemon
def run(name: str, prompt: tuple[str, ...], verbose: bool) -> None:
    """Ask an agent; without a prompt, talk to it. Standard input works as a prompt."""
    row = asyncio.run(_row(name))
    text = _prompt(" ".join(prompt))
    if not text and not sys.stdin.isatty():
        raise click.UsageError("give a prompt, or one on standard input")
    if row.url is None:
        why = f": {row.reason}" if row.reason else ""
        raise Failure(f"{row.slug} is not reachable ({row.status}{why})", hint="see: atoll ps")
    # Late: it imports httpx, which `--help` must not pay for.
    from atoll_supervisor.cli import talk  # noqa: PLC0415

    partner = talk.Partner(row.url, row.slug, row.model, verbose, given().json)
    if text:
        talk.ask(partner, text)
    else:
        talk.converse(partner)


async def _row(name: str) -> Row:
    async with connect() as daemon:
        return await daemon.row(name)


def _prompt(words: str) -> str:
    """The prompt: standard input where it is a pipe or a file, then the words, as Ollama has it."""
    return "\n\n".join(part for part in (_piped(bool(words)), words) if part)


def _piped(words_given: bool) -> str:
    if sys.stdin.isatty():
        return ""
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if words_given and not (stat.S_ISFIFO(kind) or stat.S_ISREG(kind)):
        return ""
    if not select.select([sys.stdin], [], [], PATIENCE)[0]:
        say("reading standard input until its end; `</dev/null` for none")
    return sys.stdin.read().strip()
