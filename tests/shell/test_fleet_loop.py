"""The loop that owns the fleet, over a real connection whose keeper is the test."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atoll_supervisor.core.events import Removed
from atoll_supervisor.core.spec import UnitSpec
from atoll_supervisor.keeper.packets import MAX_PACKET, decode_command
from atoll_supervisor.keeper.protocol import (
    Close,
    Command,
    Forget,
    Held,
    Launch,
    Process,
    Remember,
    Remembered,
    Signal,
    State,
)
from atoll_supervisor.loop import fleet_loop
from atoll_supervisor.loop.fleet_loop import FleetLoop, Machine
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.journal import Journal
from atoll_supervisor.shell.keeper_link import KeeperLink

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
AGENT = Blueprint(
    spec=UnitSpec(slug="a", name="A", checksum="1"),
    cwd=Path("/"),
    env={},
    via="fork",
    manifest=Path("/fleet/a/agent.toml"),
)


class Keeper:
    """The other end of a link: hears commands, and tells what the test says."""

    def __init__(self, fleet: FleetLoop) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs.setblocking(False)
        self.link = KeeperLink(ours)
        self._fleet = fleet

    def heard(self) -> list[Command]:
        """What the daemon has sent since the last time."""
        commands: list[Command] = []
        while True:
            try:
                commands.append(decode_command(self._theirs.recv(MAX_PACKET)))
            except BlockingIOError:
                return commands

    def tells(self, *states: State) -> None:
        self._fleet.hands.told(states)

    def close(self) -> None:
        self.link.close()
        self._theirs.close()


class Fleet:
    """One agent `a` whose first launch was sent."""

    def __init__(self, folder: Path, *left: State) -> None:
        def ignore(*_: object) -> None:
            return

        machine = Machine(time.monotonic, time.time, lambda: 0.0, ignore, ignore)
        self.loop = FleetLoop(machine, HOST, 8099, 8100, folder, Journal(folder / "fleet.toml"))
        self._keepers: list[Keeper] = []
        self.keeper = self.new_keeper()
        self.loop.adopt(self.keeper.link, left)
        self.loop.discovered([AGENT])
        self.keeper.tells(Held("a", HOST, 8100, held=True))

    def new_keeper(self) -> Keeper:
        self._keepers.append(Keeper(self.loop))
        return self._keepers[-1]

    def serves(self) -> None:
        self.keeper.tells(process("serving"))

    def close(self) -> None:
        self.loop.close()
        for keeper in self._keepers:
            keeper.close()


Make = Callable[..., Fleet]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Fleet] = []

    def one(*left: State) -> Fleet:
        made.append(Fleet(tmp_path, *left))
        return made[-1]

    yield one
    for fleet in made:
        fleet.close()


def process(stage: str, generation: int = 1) -> Process:
    assert stage in ("launching", "serving")
    known = Process("a", generation, since=time.monotonic(), instance="i")
    return known._replace(stage="serving", pid=4_000_000) if stage == "serving" else known


def names(commands: list[Command]) -> list[str]:
    return [type(command).__name__ for command in commands]


def launches(commands: list[Command]) -> list[int]:
    return [command.generation for command in commands if isinstance(command, Launch)]


async def test_a_launch_that_died_with_its_keeper_untold_is_answered(make: Make) -> None:
    fleet = make()
    assert launches(fleet.keeper.heard()) == [1]
    fleet.loop.hands.lost()
    fleet.loop.hands.bury()
    assert fleet.loop.row("a").last_exit is not None
    fresh = fleet.new_keeper()
    fleet.loop.hands.link_to(fresh.link)
    fleet.loop.attached()
    fresh.tells(Held("a", HOST, 8100, held=True))
    fleet.loop.resume()
    assert launches(fresh.heard()) == [2]


async def test_a_launch_that_the_same_keeper_never_got_is_made_again(make: Make) -> None:
    fleet = make()
    fleet.loop.hands.lost()
    again = fleet.new_keeper()
    fleet.loop.hands.go_on(again.link, (Held("a", HOST, 8100, held=True),))
    assert launches(again.heard()) == [2]
    again.tells(process("serving", 2))
    assert (fleet.loop.row("a").status, fleet.loop.row("a").generation) == ("running", 2)


async def test_what_is_launched_by_the_news_of_a_new_link_is_not_taken_for_lost(make: Make) -> None:
    fleet = make()
    fleet.serves()
    fleet.loop.hands.lost()
    again = fleet.new_keeper()
    gone = process("serving")._replace(stage="gone", channel=True, signal="SIGKILL")
    fleet.loop.hands.go_on(again.link, (Held("a", HOST, 8100, held=True), gone))
    assert launches(again.heard()) == [2]
    assert fleet.loop.row("a").phase == "starting"


async def test_a_new_runtime_does_not_start_what_an_operator_is_stopping(make: Make) -> None:
    fleet = make()
    fleet.serves()
    stopping = asyncio.create_task(fleet.loop.stop("a"))
    await asyncio.sleep(0)
    assert fleet.loop.renew("the runtime was reloaded") == ()
    gone = process("serving")._replace(stage="gone", channel=True, code=0)
    fleet.keeper.tells(gone)
    async with asyncio.timeout(30):
        assert (await stopping).status == "stopped"
    heard = fleet.keeper.heard()
    assert any(isinstance(command, Signal) for command in heard)
    assert any(isinstance(command, Close) for command in heard)


async def test_a_stop_that_somebody_else_takes_back_is_answered(make: Make) -> None:
    fleet = make()
    fleet.serves()
    stopping = asyncio.create_task(fleet.loop.stop("a"))
    await asyncio.sleep(0)
    await fleet.loop.start("a", wait=False)
    async with asyncio.timeout(30):
        assert (await stopping).status == "starting"


async def test_what_lives_although_it_was_given_up_is_killed(make: Make) -> None:
    """A keeper that answered too late must not leave two processes of one unit."""
    fleet = make()
    fleet.serves()
    fleet.loop.hands.lost()
    fleet.loop.hands.bury()
    again = fleet.new_keeper()
    states = (
        Held("a", HOST, 8100, held=True),
        Held("gone", HOST, 8101, held=True),
        Held("@api", HOST, 8099, held=True),
        process("serving"),
        process("serving")._replace(unit="gone"),
    )
    fleet.loop.hands.go_on(again.link, states)
    heard = again.heard()
    assert [one for one in heard if isinstance(one, Signal)] == [
        Signal("a", 1, "kill"),
        Signal("gone", 1, "kill"),
    ]
    assert [one for one in heard if isinstance(one, Close)] == [Close("gone")]
    again.tells(process("serving")._replace(stage="gone", signal="SIGKILL"))
    assert Forget("a", 1) in again.heard()
    assert fleet.loop.row("a").generation != 1 or fleet.loop.row("a").status != "running"


async def test_what_is_known_is_remembered_before_anything_that_follows_is_asked_for(
    make: Make,
) -> None:
    """Whenever the daemon dies, the next one counts on from there."""
    fleet = make()
    first = names(fleet.keeper.heard())
    assert first.index("Remember") < first.index("Launch")
    fleet.serves()
    fleet.keeper.heard()
    fleet.keeper.tells(process("serving")._replace(stage="gone", code=1))
    heard = fleet.keeper.heard()
    assert names(heard)[0] == "Remember"
    assert names(heard).index("Launch") < names(heard).index("Forget") or 2 not in launches(heard)
    assert isinstance(heard[0], Remember)
    assert '"restarts":1' in heard[0].memo or '"Backoff"' in heard[0].memo


async def test_a_unit_that_is_gone_is_forgotten_after_its_last_end_was_taken_in(make: Make) -> None:
    """Else a daemon that dies between the two leaves a process nobody knows anything of."""
    fleet = make()
    fleet.serves()
    fleet.loop.post([("a", Removed())])
    fleet.keeper.heard()
    fleet.keeper.tells(process("serving")._replace(stage="gone", signal="SIGTERM"))
    heard = fleet.keeper.heard()
    assert heard.index(Forget("a", 1)) < heard.index(Remember("a", ""))


async def test_a_daemon_that_comes_into_a_pause_waits_it_out_and_counts_on(make: Make) -> None:
    fleet = make()
    for generation in (1, 2):
        fleet.keeper.tells(process("serving", generation))
        fleet.keeper.tells(process("serving", generation)._replace(stage="gone", code=1))
    assert fleet.loop.row("a").phase == "backoff"
    memos = [one for one in fleet.keeper.heard() if isinstance(one, Remember)]
    after = make(Held("a", HOST, 8100, held=True), Remembered("a", memos[-1].memo))
    row, before = after.loop.row("a"), fleet.loop.row("a")
    assert (row.phase, row.restarts, row.generation) == ("backoff", 1, 2)
    assert (row.last_exit, row.reason) == (before.last_exit, before.reason)
    assert launches(after.keeper.heard()) == []


async def test_a_memo_of_another_version_is_as_good_as_none(make: Make) -> None:
    fleet = make(Remembered("a", '{"of": "the future", "generation": []}'))
    assert launches(fleet.keeper.heard()) == [1]


async def test_a_new_keeper_is_told_everything_again(make: Make) -> None:
    fleet = make()
    fleet.serves()
    fleet.loop.hands.lost()
    other = fleet.new_keeper()
    fleet.loop.hands.link_to(other.link)
    fleet.loop.regained()
    assert "Remember" in names(other.heard())


async def test_a_shutdown_that_nobody_obeys_has_an_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_loop, "END_SLACK", -29.9)
    fleet = make()
    fleet.serves()
    async with asyncio.timeout(30):
        assert not await fleet.loop.shut_down()


async def test_a_shutdown_ends_with_the_last_process(make: Make) -> None:
    fleet = make()
    fleet.serves()
    ending = asyncio.create_task(fleet.loop.shut_down())
    await asyncio.sleep(0)
    fleet.keeper.tells(process("serving")._replace(stage="gone", channel=True, code=0))
    async with asyncio.timeout(30):
        assert await ending
