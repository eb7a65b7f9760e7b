"""A unit taken over from the daemon before, made as it must have been.

A daemon may be killed at any moment; its processes go on, and the keeper tells
the next one of them. What the decisions need beyond that (`Memory`) travelled
with each launch. Nothing is started here that has a live process: from the
first moment on the unit is an ordinary one, and what has happened to its
manifest or to its processes meanwhile comes as ordinary events.
"""

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import moves
from atoll_supervisor.core.draft import Order, Orders
from atoll_supervisor.core.fleet import Fleet, draft_of, fleet_of
from atoll_supervisor.core.machine import leave_timer
from atoll_supervisor.core.phases import (
    Ended,
    Leaving,
    Phase,
    Replacing,
    Running,
    Starting,
    Stopping,
    Then,
    Unit,
    generation_of,
    keeps_socket,
    pid_of,
    policy_of,
    serving,
    word_of,
)
from atoll_supervisor.core.restarts import CLEAN, History
from atoll_supervisor.core.spec import Policy, UnitSpec

FOUND = "taken over from the daemon before"
TOLD = "told to go by the daemon before"


class Memory(Struct, frozen=True):
    """What is known of a unit at the launch of a process, for the daemon after this one.

    `policy` is for a manifest that cannot be read at that time. Times are of the
    monotonic clock, which goes on while daemons come and go.
    """

    checksum: str = ""
    restarts: int = 0
    history: History = CLEAN
    ended: Ended | None = None
    policy: Policy = Policy()


class Survivor(Struct, frozen=True, kw_only=True):
    """A process that the keeper has of the daemon before.

    `pid` is None while its launch is not confirmed. `told` means that it was
    told to go. One that is `gone` has ended since; its `Exited` (or
    `SpawnFailed`) is posted after the adoption.
    """

    generation: int
    pid: int | None
    since: float
    ready: bool = False
    told: bool = False
    gone: bool = False
    memory: Memory = Memory()


class _Roles(Struct):
    """What each of the processes is there for."""

    serves: Survivor | None
    starts: Survivor | None
    leave: tuple[Survivor, ...]


def memory_of(unit: Unit) -> Memory:
    """What to give along with a launch of the unit."""
    checksum = unit.spec.checksum if unit.spec else ""
    return Memory(checksum, unit.restarts, unit.history, unit.ended, policy_of(unit))


def adopt(
    fleet: Fleet,
    slug: str,
    spec: UnitSpec | None,
    survivors: tuple[Survivor, ...],
    now: float,
    jitter: float,
) -> tuple[Fleet, Orders]:
    """Take the processes of one unit over; `spec` is what was found on disk, None if nothing.

    A unit that the fleet has already, or of which nothing survived, is left
    alone. A manifest that is another than the newest process was launched with
    is news: post it as `SpecAccepted` afterwards, as `reconcile` says; and if
    there is none, `Removed`.
    """
    if slug in fleet.units or not survivors:
        return fleet, ()
    draft = draft_of(fleet, now, lambda: jitter)
    unit, effects = _revived(draft.born(slug), spec, survivors, now, jitter)
    draft.put(unit)
    draft.orders += [Order(slug, effect) for effect in effects]
    draft.admit()
    return fleet_of(draft), tuple(draft.orders)


def _revived(
    unit: Unit, spec: UnitSpec | None, survivors: tuple[Survivor, ...], now: float, jitter: float
) -> moves.Step:
    newest = max(survivors, key=lambda one: one.generation)
    memory = newest.memory
    roles = _roles(unit, survivors)
    up = roles.starts or roles.serves or newest  # what it runs is what its manifest is held to be
    known = spec or UnitSpec(slug=unit.slug, name=unit.slug, checksum="", policy=memory.policy)
    unit = replace(
        unit,
        spec=replace(known, checksum=up.memory.checksum),
        generation=newest.generation,
        history=memory.history,
        restarts=memory.restarts,
        ended=memory.ended,
    )
    unit, farewells = _sent_off(unit, roles, now)
    unit = replace(unit, phase=_phase(unit, roles, now))
    return unit, (
        do.HoldSocket() if keeps_socket(unit.phase) else do.ReleaseSocket(),
        *farewells,
        *_timers(unit, now, jitter),
        _record(unit),
    )


def _roles(unit: Unit, survivors: tuple[Survivor, ...]) -> _Roles:
    """The newest that is ready serves, a newer one starts, and all others leave.

    One that has ended meanwhile has its place only if it is the newest: else
    its successor was on its way already.
    """
    wanted = tuple(one for one in survivors if not one.told) if unit.wanted else ()
    newest = max(wanted, key=lambda one: one.generation, default=None)
    ready = [one for one in wanted if _is_ready(one) and not one.gone]
    serves = max(ready, key=lambda one: one.generation, default=None)
    starts = None if newest is None or _is_ready(newest) else newest
    if serves is None and starts is None:
        serves = newest
    leave = tuple(one for one in survivors if one is not serves and one is not starts)
    return _Roles(serves, starts, leave)


def _is_ready(one: Survivor) -> bool:
    return one.ready and one.pid is not None


def _sent_off(unit: Unit, roles: _Roles, now: float) -> moves.Step:
    """Those that leave have all the time they may have again; who was told is not told twice.

    A second SIGTERM would cut off what is still being answered.
    """
    effects: tuple[do.Effect, ...] = ()
    for one in sorted(roles.leave, key=lambda one: one.generation):
        reason = TOLD if unit.wanted else "stopped by an operator"
        deadline = now + policy_of(unit).stop_timeout
        leaving = Leaving(one.generation, one.pid, deadline, reason=reason)
        unit = replace(unit, leaving=(*unit.leaving, leaving))
        if one.pid is not None and not (one.gone or one.told):
            effects += (do.Terminate(one.generation),)
    return unit, effects


def _phase(unit: Unit, roles: _Roles, now: float) -> Phase:
    serves = _serving(roles.serves, now) if roles.serves else None
    starts = _starting(roles.starts, unit, now) if roles.starts else None
    if serves and starts:
        return Replacing(replace(serves, renew=FOUND), starts)
    return serves or starts or Stopping(now, _then(unit), unit.leaving[-1].reason)


def _serving(one: Survivor, now: float) -> Running:
    pid = one.pid or 0
    return Running(one.generation, pid, one.since, used=now, checksum=one.memory.checksum)


def _starting(one: Survivor, unit: Unit, now: float) -> Starting:
    deadline = now + policy_of(unit).start_timeout
    return Starting(one.generation, now, deadline, one.pid, checksum=one.memory.checksum)


def _then(unit: Unit) -> Then:
    if not unit.wanted:
        return "rest"
    return "sleep" if policy_of(unit).idle_timeout else "start"


def _timers(unit: Unit, now: float, jitter: float) -> tuple[do.Effect, ...]:
    effects: tuple[do.Effect, ...] = ()
    if (running := serving(unit)) is not None:
        effects += moves.watch(unit, running, now, jitter)
    match unit.phase:
        case Starting() as new:
            effects += moves.start_timers(new)
        case Replacing(new=new):
            effects += moves.start_timers(new)
        case _:
            pass
    return effects + leave_timer(replace(unit, leaving=()), unit)


def _record(unit: Unit) -> do.Record:
    word, pid = word_of(unit), pid_of(unit)
    goes_on = f": process {pid} goes on" if serving(unit) else ""
    return do.Record(
        before=word,
        after=word,
        cause=FOUND + goes_on,
        generation=generation_of(unit),
        pid=pid,
        restarts=unit.restarts,
    )
