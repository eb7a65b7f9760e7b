"""`atoll logs [-f] [--tail N] [NAME…]`: what the agents print, merged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from atoll_supervisor.cli.codes import Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.answers import LogLine, Stream
from atoll_supervisor.core.plain import plain_line

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")
_WAITING = 1000
"""Lines that may wait to be printed before the agents' streams are read on."""


class Entry(Struct, frozen=True):
    """A line and whose it is, as `--json` prints it."""

    agent: str
    at: str | None
    stream: Stream
    line: str


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line until Ctrl-C.")
@click.option(
    "-n", "--tail", default=100, show_default=True, type=click.IntRange(0), help="Lines of each."
)
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was printed.")
@finds_daemon
def logs(names: tuple[str, ...], follow: bool, tail: int, timestamps: bool) -> None:
    """Show what agents print; of all agents when none is named."""
    asyncio.run(_show(names, follow, tail, timestamps))


async def _show(names: Sequence[str], follow: bool, tail: int, timestamps: bool) -> None:
    async with connect() as daemon:
        slugs = [(await daemon.row(name)).slug for name in names]
        slugs = list(dict.fromkeys(slugs)) or [row.slug for row in await daemon.rows()]
        printer = _Printer(slugs, timestamps)
        if follow:
            async for entry in _merged(daemon, slugs, tail):
                printer.show(entry)
            return
        for entry in await _sorted(daemon, slugs, tail):
            printer.show(entry)


class _Printer:
    """One line each: JSON, bare for one agent, with the agent's name before it for several."""

    def __init__(self, slugs: Sequence[str], timestamps: bool) -> None:
        width = max(map(len, slugs), default=0)
        self._prefixes = {
            slug: click.style(f"{slug.ljust(width)} | ", fg=_COLOURS[index % len(_COLOURS)])
            for index, slug in enumerate(slugs)
        }
        self._timestamps = timestamps

    def show(self, entry: Entry) -> None:
        if given().json:
            out_json(entry, pretty=False)
            return
        prefix = self._prefixes[entry.agent] if len(self._prefixes) > 1 else ""
        moment = f"{entry.at or '-'} " if self._timestamps else ""
        out(f"{prefix}{moment}{plain_line(entry.line)}")


async def _sorted(daemon: "Management", slugs: Sequence[str], tail: int) -> list[Entry]:
    """What is there now, oldest first; a line without a time stays behind the one before it."""
    found: list[tuple[str, Entry]] = []
    for slug in slugs:
        at = ""
        async for line in daemon.lines(slug, tail, follow=False):
            at = line.at or at
            found.append((at, _entry(slug, line)))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


async def _merged(daemon: "Management", slugs: Sequence[str], tail: int) -> AsyncIterator[Entry]:
    """Every line of all agents as it comes, until each stream has ended."""
    waiting: asyncio.Queue[Entry | Failure | None] = asyncio.Queue(_WAITING)

    async def read(slug: str) -> None:
        try:
            async for line in daemon.lines(slug, tail, follow=True):
                await waiting.put(_entry(slug, line))
            await waiting.put(None)
        except Failure as failure:
            await waiting.put(failure)

    readers = [asyncio.create_task(read(slug)) for slug in slugs]
    try:
        async for entry in _until_all_ended(waiting, len(slugs)):
            yield entry
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _until_all_ended(
    waiting: "asyncio.Queue[Entry | Failure | None]", streams: int
) -> AsyncIterator[Entry]:
    """The entries until `streams` times None has come; raises the first Failure."""
    while streams:
        match await waiting.get():
            case Entry() as entry:
                yield entry
            case None:
                streams -= 1
            case failure:
                raise failure


def _entry(slug: str, line: LogLine) -> Entry:
    return Entry(slug, line.at, line.stream, line.line)
