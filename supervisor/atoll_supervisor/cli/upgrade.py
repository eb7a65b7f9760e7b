"""`atoll upgrade`: the daemon becomes the program that is installed now; no agent is touched."""

import asyncio
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.answers import Health
from atoll_supervisor.core.row import Row

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

POLL = 0.05


class Report(Struct, frozen=True):
    """What `--json` prints: the daemon's versions, and the agents whose process is the same."""

    before: str
    after: str
    pid: int
    kept: tuple[str, ...]
    changed: tuple[str, ...]


@click.command()
@click.option("--wait", default=60.0, show_default=True, help="Seconds until it must be back.")
@finds_daemon
def upgrade(wait: float) -> None:
    """Have the daemon run the code that is installed now; its agents go on meanwhile.

    `atoll reload --runtime` afterwards moves the agents to it, too.
    """
    report = asyncio.run(_upgrade(wait))
    if given().json:
        out_json(report)
        return
    out(f"the daemon (pid {report.pid}) is back: version {report.before} -> {report.after}")
    out(f"{len(report.kept)} agents kept their process")
    if report.changed:
        out(f"meanwhile there were changes of their own in: {', '.join(report.changed)}")


async def _upgrade(wait: float) -> Report:
    async with connect() as daemon:
        before, health = await daemon.rows(), await daemon.health()
        gone = await daemon.upgrade()
        try:
            async with asyncio.timeout(wait):
                back = await _back(daemon, gone)
        except TimeoutError:
            hint = "the agents go on; its log says more, `atoll up -d` starts it again"
            message = f"the daemon is not back after {wait:g} s"
            raise Failure(message, Exit.TIMEOUT, hint) from None
        pids = {row.slug: row.pid for row in await daemon.rows()}
        return Report(
            health.version,
            back.version,
            back.pid,
            _slugs(before, pids, same=True),
            _slugs(before, pids, same=False),
        )


async def _back(daemon: "Management", gone: str) -> Health:
    """The health of the next instance; between the two, requests wait in the held socket."""
    while True:
        try:
            health = await daemon.health()
        except Failure:
            health = None
        if health is not None and health.instance_id != gone:
            return health
        await asyncio.sleep(POLL)


def _slugs(rows: tuple[Row, ...], pids: dict[str, int | None], *, same: bool) -> tuple[str, ...]:
    """The running agents of before whose pid is, or is not, the same now."""
    running = (row for row in rows if row.pid is not None)
    return tuple(row.slug for row in running if (pids.get(row.slug) == row.pid) is same)
