"""What must hold after every step of the simulated fleet (`faults.md` section 1).

I1, I2, I3 (what the operator wants), I5 and I8 reach the core and are judged
here; I7 as bounds on what the core keeps. I4 (the API answers) and I6 (the port
table) are not the core's: they have tests of their own.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from atoll_supervisor.core import effects as do
from atoll_supervisor.core.fleet import Fleet, Orders
from atoll_supervisor.core.machine import timers_of
from atoll_supervisor.core.moves import MOST_LEAVING
from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Invalid,
    Phase,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
    is_live,
    policy_of,
    processes,
    serving,
    word_of,
)
from tests.fakes.schedules import MOST_RESTARTS

if TYPE_CHECKING:
    from tests.fakes.world import World

TRIES_IN_A_MINUTE = 10
SAVED_WITHIN = 5.0


def is_down(fleet: Fleet) -> bool:
    """Whether no unit has a process any more."""
    return not any(is_live(unit) for unit in fleet.units.values())


def check(world: "World", slugs: Iterable[str]) -> None:
    """Raise AssertionError when what concerns these units has become what must not be."""
    for slug in slugs:
        unit = world.fleet.units.get(slug)
        if unit is None:
            assert not world.keeper.of(slug), f"{slug}: orphans of a forgotten unit"
            assert slug not in world.keeper.sockets, f"{slug}: socket of a forgotten unit"
            assert not any(key[0] == slug for key in world.timers), f"{slug}: timers left"
        else:
            _processes(world, unit)
            _is_up_to_date(unit)
            _sockets(world, unit)
            _a_way_on(world, unit)
            _bounds(world, unit)
    _index(world.fleet)
    _saved(world)


def _processes(world: "World", unit: Unit) -> None:
    """I1 and I2: the processes that there are, each in its one place, and never two that serve."""
    children = world.keeper.of(unit.slug)
    here = {child.generation: child.pid for child in children}
    known = {one.generation: one.pid for one in processes(unit)}
    assert here == known, f"{unit}: there are {here}"
    assert len(known) == len(processes(unit)), f"{unit}: one process in two places"
    alive = [child for child in children if not child.gone]
    leaving = {one.generation for one in unit.leaving}
    for child in alive:  # what was overtaken before it was there cannot be told yet
        told = child.told_at is not None or (child.pid is None and child.generation in leaving)
        assert told == (child.generation in leaving), f"{unit}: {child} is in the wrong place"
    staying = [child for child in alive if child.generation not in leaving]
    assert sum(child.ready for child in staying) <= 1, f"{unit}: two serve"
    assert sum(not child.ready for child in staying) <= 1, f"{unit}: two start"
    if not policy_of(unit).overlap:
        assert len(alive) <= 1, f"{unit}: two live side by side"
    if isinstance(unit.phase, Stopped | Asleep | Invalid):
        assert not unit.leaving, f"{unit}: at rest with processes"
    if isinstance(unit.phase, Stopping):
        assert unit.leaving, f"{unit}: waits for nothing"


def _is_up_to_date(unit: Unit) -> None:
    """What serves or starts is what the last good manifest says, or is to be replaced, or told."""
    checksum = unit.spec.checksum if unit.spec else ""
    match unit.phase:
        case Starting(checksum=launched) | Replacing(new=Starting(checksum=launched)):
            assert launched == checksum, f"{unit}: starts an old manifest"
        case Running(checksum=launched) as running:
            assert launched == checksum or running.renew or running.note, f"{unit}: out of date"
        case _:
            pass


def _sockets(world: "World", unit: Unit) -> None:
    """A serving unit's socket is held, also through its crashes; a resting one's is closed."""
    held = unit.slug in world.keeper.sockets
    match unit.phase:
        case Starting() | Running() | Replacing() | Backoff() | Asleep():
            assert held, f"{unit}: socket lost"
        case Stopped() | Invalid() | Failed(retry_at=None) | Stopping(then="rest" | "forget"):
            assert not held, f"{unit}: socket kept"
        case _:
            pass
    if isinstance(unit.phase, Asleep):
        waiting = world.keeper.clients.get(unit.slug, 0)
        assert unit.slug in world.keeper.watched or waiting, f"{unit}: nobody watches its socket"


def _a_way_on(world: "World", unit: Unit) -> None:
    """Each phase that must end has the timer that ends it, and no deadline has passed unseen."""
    timers = {timer for slug, timer in world.timers if slug == unit.slug}
    assert ("leave" in timers) == bool(unit.leaving), f"{unit}: {timers}"
    timers.discard("leave")
    assert timers <= set(timers_of(unit)), f"{unit}: {timers}"
    for one in unit.leaving:
        assert world.clock.now <= one.deadline + 0.001, f"{unit}: not killed in time"
    match unit.phase:
        case Starting(early=early) | Replacing(new=Starting(early=early)):
            assert timers >= ({"start", "slot"} if early else {"start"}), f"{unit}: {timers}"
        case Running():
            assert ("probe" in timers) or world.probing(unit.slug), f"{unit}: {timers}"
        case Backoff() | Failed(retry_at=float()):
            assert timers == {"backoff"}, f"{unit}: {timers}"
        case _:
            assert not timers, f"{unit}: {timers}"


def _bounds(world: "World", unit: Unit) -> None:
    """I7, and nobody's crash makes more than ten starts in a minute (`supervision.md` goal 10)."""
    assert len(unit.leaving) <= MOST_LEAVING + 1, f"{unit}: processes pile up"
    assert len(unit.history.ends) <= MOST_RESTARTS + 1
    recent = [at for at in world.spawned.get(unit.slug, ()) if world.clock.now - at < 60]
    if isinstance(unit.phase, Starting):
        assert len(recent) <= TRIES_IN_A_MINUTE, f"{unit}: started at {recent}"


def _index(fleet: Fleet) -> None:
    """What the fleet keeps beside its units is what the units say."""
    phases = {slug: unit.phase for slug, unit in fleet.units.items()}
    early = {
        slug
        for slug, phase in phases.items()
        if (isinstance(phase, Starting) and phase.early)
        or (isinstance(phase, Replacing) and phase.new.early)
    }
    queue = {
        slug
        for slug, phase in phases.items()
        if isinstance(phase, Waiting) or (isinstance(phase, Running) and phase.renew)
    }
    assert early == set(fleet.early)
    assert queue == set(fleet.queue)
    met = fleet.unwanted & fleet.units.keys()
    assert met == {slug for slug, unit in fleet.units.items() if not unit.wanted}


def _saved(world: "World") -> None:
    """I3: the state file is what is wanted, but for a full disk."""
    late = world.disk.full or world.clock.now - world.disk.saved_at < SAVED_WITHIN
    assert late or world.disk.unwanted == world.fleet.unwanted


def check_step(before: Fleet, after: Fleet, slugs: Iterable[str], orders: Orders) -> None:
    """Judge one step: who may have changed (I5), how many start, and that all is recorded once."""
    concerned = set(slugs)
    for order in orders:
        if isinstance(order.effect, do.Spawn):
            assert len(after.early) <= after.start_limit, "too many start at once"
    for slug in {order.slug for order in orders} - concerned:
        was, now = before.units[slug].phase, after.units[slug].phase
        admitted = isinstance(was, Waiting | Running) and isinstance(now, Starting | Replacing)
        assert admitted or after.closing, f"{slug}: {was} became {now}"
    for slug in concerned & before.units.keys() & after.units.keys():
        records = [o.effect for o in orders if o.slug == slug and isinstance(o.effect, do.Record)]
        assert len(records) <= 1 + after.closing, f"{slug}: {records}"
        _recorded(before.units[slug], after.units[slug], records)
        _let_work(before.units[slug].phase, after.units[slug].phase)


def _recorded(before: Unit, after: Unit, records: list[do.Record]) -> None:
    """ "Why did it restart?" has one answer each time."""
    left = {one.generation for one in processes(after)}
    ended = any(one.generation not in left for one in processes(before))
    was, now = serving(before), serving(after)
    replaced = was and now and was.generation != now.generation
    complaint = before.config_error != after.config_error
    if word_of(before) != word_of(after) or ended or replaced or complaint:
        assert records, f"{before} -> {after}: not recorded"
        assert records[0].cause, f"{before} -> {after}: no cause"
        assert (records[0].before, records[-1].after) == (word_of(before), word_of(after))
        assert (records[0].ended is not None) == ended, f"{before} -> {after}: {records}"


def check_order(slug: str, last: do.Record, record: do.Record) -> None:
    """Neither generation nor restarts of a unit ever fall, across the deaths of daemons too."""
    assert record.generation >= last.generation, f"{slug}: {last} -> {record}"
    assert record.restarts >= last.restarts, f"{slug}: {last} -> {record}"


def _let_work(before: Phase, after: Phase) -> None:
    """Nobody who works is put to sleep."""
    if isinstance(before, Running) and isinstance(after, Stopping) and after.then == "sleep":
        assert not before.busy, f"{before}: put to sleep"


# Liveness.


def unhealthy(world: "World") -> list[str]:
    """I8: what is wanted and good on disk, and does not serve what the disk says."""
    return [
        f"{slug}: {world.fleet.units.get(slug)}"
        for slug, spec in world.disk.good().items()
        if slug not in world.fleet.unwanted and not _is_well(world, slug, spec.checksum)
    ]


def _is_well(world: "World", slug: str, checksum: str) -> bool:
    unit = world.fleet.units.get(slug)
    if unit is None:
        return False
    match unit.phase:
        case Asleep():
            return not world.keeper.clients.get(slug)
        case Running(generation=generation, checksum=launched, note=note):
            child = world.keeper.children[slug, generation]
            alive = not child.gone and child.hung_at is None
            return alive and not unit.phase.renew and (launched == checksum or bool(note))
        case Stopped(reason=reason):
            return reason.startswith("finished")
        case Failed(retry_at=None):
            return True
        case _:
            return False


def pending_until(world: "World") -> float:
    """When the last pause or deadline ends that the faults have left behind."""
    ends = [world.clock.now]
    for unit in world.fleet.units.values():
        ends += [one.deadline for one in unit.leaving]
        match unit.phase:
            case Backoff(until=until) | Failed(retry_at=float(until)):
                ends.append(until)
            case (
                Starting(deadline=deadline, generation=new)
                | Replacing(new=Starting(deadline=deadline, generation=new))
            ):
                if world.is_cursed(unit.slug, new):
                    ends.append(deadline)
            case _:
                pass
    return max(ends)
