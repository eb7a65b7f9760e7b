"""`atoll events [-f] [-n N] [--after ID] [NAME…]`: what happened to the agents, and why."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import click

from atoll.config.names import slug_of, without_tag
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.columns import exit_word
from atoll_supervisor.cli.comeback import is_back
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.plain import plain_line

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

PAGE = 1000
_LONGEST_STEP = len("stopping -> starting")
_COLOURS = {"running": "green", "starting": "yellow", "backoff": "red", "failed": "red"}
_HOPELESS = (Exit.AUTH, Exit.NO_SUCH_AGENT)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Go on with every new event until Ctrl-C.")
@click.option(
    "-n", "--tail", default=100, show_default=True, type=click.IntRange(0, 10_000), help="The last."
)
@click.option("--after", type=click.IntRange(0), help="All after the event of this id (--json).")
@finds_daemon
def events(names: tuple[str, ...], follow: bool, tail: int, after: int | None) -> None:
    """Show what happened, to whom and why; to all agents and the daemon when none is named."""
    asyncio.run(_show(list(dict.fromkeys(names)), follow, tail, after))


async def _show(names: Sequence[str], follow: bool, tail: int, after: int | None) -> None:
    printer = _Printer()
    async with connect() as daemon:
        newest = await daemon.events(None, None, 1)
        place = newest[-1].id if newest else 0
        for one in await _history(daemon, names, tail, after):
            # What is newer comes again by the stream.
            if not follow or one.id <= place:
                printer.show(one)
    if follow:
        async for one in _followed(names, place):
            printer.show(one)


class _Printer:
    """One line each; the column of the names is as wide as the longest so far."""

    def __init__(self) -> None:
        self._width = len("(daemon)")

    def show(self, happening: Happening) -> None:
        if given().json:
            out_json(happening, pretty=False)
            return
        unit = plain_line(happening.unit) or "(daemon)"
        self._width = max(self._width, len(unit))
        steps = f"{happening.before} -> {happening.after}" if happening.after else "-"
        shown = click.style(
            plain_line(steps).ljust(_LONGEST_STEP), fg=_COLOURS.get(happening.after)
        )
        how = f"  [{exit_word(happening.exit)}]" if happening.exit else ""
        cause = plain_line(happening.cause)
        out(f"{plain_line(happening.at)}  {unit.ljust(self._width)}  {shown}  {cause}{how}")


async def _history(
    daemon: "Management", names: Sequence[str], tail: int, after: int | None
) -> list[Happening]:
    """What is there now, oldest first: the last `tail`, or everything after an id."""
    found: dict[int, Happening] = {}
    for name in _asked(names):
        if after is None:
            part = await daemon.events(name, None, tail)
            found.update((one.id, one) for one in part)
            continue
        async for one in _pages(daemon, name, after):
            found[one.id] = one
    merged = [found[id] for id in sorted(found)]
    return merged if after is not None else merged[max(0, len(merged) - tail) :]


def _asked(names: Sequence[str]) -> Sequence[str | None]:
    return names or (None,)


async def _pages(daemon: "Management", name: str | None, after: int) -> AsyncIterator[Happening]:
    while part := await daemon.events(name, after, PAGE):
        for one in part:
            yield one
        after = part[-1].id


async def _followed(names: Sequence[str], place: int) -> AsyncIterator[Happening]:
    """Every event after an id as it comes, over restarts of the daemon."""
    name = names[0] if len(names) == 1 else None
    slugs = {slug_of(without_tag(name)) for name in names}
    lost: Failure | None = None
    told = False
    while True:
        failed: Failure | None = None
        try:
            async with connect() as daemon:
                async for one in daemon.happenings(name, place):
                    place, told = one.id, False
                    if not slugs or one.unit in slugs:
                        yield one
        except Failure as failure:
            if failure.exit in _HOPELESS:
                raise
            failed = failure
        if not told:
            say("the daemon went away; waiting for it to come back")
            lost, told = failed, True
        if not await is_back():
            break
    if lost is not None:
        raise lost
