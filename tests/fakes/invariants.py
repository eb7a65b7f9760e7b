"""What must hold after every step of the simulated fleet."""

from typing import TYPE_CHECKING

from atoll_supervisor.core.fleet import Fleet
from atoll_supervisor.core.moves import KILL_AGAIN
from atoll_supervisor.core.phases import (
    Backoff,
    Failed,
    Invalid,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    is_live,
    keeps_socket,
    policy_of,
)

if TYPE_CHECKING:
    from tests.fakes.world import World

TRIES_IN_A_MINUTE = 10
STOP_LIMIT = 2 * KILL_AGAIN + 1


def is_down(fleet: Fleet) -> bool:
    """Whether no unit has a process any more."""
    return not any(is_live(unit) for unit in fleet.units.values())


def check(world: "World") -> None:
    """Raise AssertionError when the world has become one that must not be."""
    for slug in (*world.children, *world.launching, *world.sockets):
        assert slug in world.fleet.units, f"{slug}: kept after it was forgotten"
    for unit in world.fleet.units.values():
        _one_process(world, unit)
        _sockets(world, unit)
        _a_way_on(world, unit)
        _tries(world, unit)
    _start_limit(world)


def _one_process(world: "World", unit: Unit) -> None:
    """A unit is live exactly when it has one process or launch, of its newest generation."""
    child, launch = world.children.get(unit.slug), world.launching.get(unit.slug)
    here = (child is not None) + (launch is not None)
    assert here == is_live(unit), f"{unit}: {here} processes"
    generation = child.generation if child else launch
    assert generation in (None, unit.generation), f"{unit}: process of {generation}"
    if isinstance(unit.phase, Running):
        assert child is not None
        assert child.pid == unit.phase.pid


def _sockets(world: "World", unit: Unit) -> None:
    """A serving unit's socket is held, also through its crashes; a resting one's is closed."""
    held = unit.slug in world.sockets
    if isinstance(unit.phase, Running | Backoff) or (
        isinstance(unit.phase, Starting) and keeps_socket(unit.phase)
    ):
        assert held, f"{unit}: socket lost"
    if isinstance(unit.phase, Stopped | Invalid):
        assert not held, f"{unit}: socket kept"


def _a_way_on(world: "World", unit: Unit) -> None:
    """Each phase that must end has the timer that ends it, and a stop ends in time."""
    timers = {timer for slug, timer in world.timers if slug == unit.slug}
    match unit.phase:
        case Starting(early=early):
            assert timers == ({"start", "slot"} if early else {"start"}), f"{unit}: {timers}"
        case Running():
            assert timers <= {"stable", "probe"}, f"{unit}: {timers}"
        case Stopping(since=since):
            assert timers == {"stop"}, f"{unit}: {timers}"
            limit = since + policy_of(unit).stop_timeout + STOP_LIMIT
            assert world.now <= limit, f"{unit}: not stopped at {world.now}"
        case Backoff() | Failed(retry_at=float()):
            assert timers == {"backoff"}, f"{unit}: {timers}"
        case _:
            assert not timers, f"{unit}: {timers}"


def _tries(world: "World", unit: Unit) -> None:
    """Nobody's crash makes more than ten starts in a minute (`supervision.md` goal 10)."""
    tries = world.spawned[unit.slug]
    recent = [at for at in tries if world.now - at < 60]
    if isinstance(unit.phase, Starting):
        assert len(recent) <= TRIES_IN_A_MINUTE, f"{unit}: started at {recent}"


def _start_limit(world: "World") -> None:
    """No more units start at once than may."""
    phases = [unit.phase for unit in world.fleet.units.values()]
    early = sum(isinstance(phase, Starting) and phase.early for phase in phases)
    assert early <= world.fleet.start_limit
