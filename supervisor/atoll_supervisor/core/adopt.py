"""A unit taken over from the daemon before, made as it must have been.

A daemon may be killed at any moment; its processes go on, and the keeper tells
the next one of them. What the decisions need beyond that (`Memory`) was given to
the keeper whenever it changed, before anything was done that followed from it.
Nothing is started here: from the first moment on the unit is an ordinary one,
and what has happened to its manifest or to its processes meanwhile comes as
ordinary events.
"""

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import moves
from atoll_supervisor.core.draft import Order, Orders
from atoll_supervisor.core.fleet import Fleet, draft_of, fleet_of
from atoll_supervisor.core.machine import leave_timer
from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Ended,
    Failed,
    Leaving,
    Phase,
    Replacing,
    Running,
    Starting,
    Stopping,
    Then,
    Unit,
    Waiting,
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
LOST = "its launch was lost with the daemon before"


Alone = Asleep | Waiting | Backoff | Failed
"""What a unit that is wanted can be without a process."""


class Memory(Struct, frozen=True, kw_only=True):
    """What is known of a unit, for the daemon after this one.

    `stay` are the generations of the processes that were not to go, and `alone` is
    where the unit is if none of them is found. `checksum` and `policy` are those of
    its manifest, which may be another one or broken by then. Times are of the
    monotonic clock, which goes on while daemons come and go.
    """

    generation: int = 0
    stay: tuple[int, ...] = ()
    restarts: int = 0
    history: History = CLEAN
    ended: Ended | None = None
    checksum: str = ""
    policy: Policy = Policy()
    alone: Alone | None = None


class Survivor(Struct, frozen=True, kw_only=True):
    """A process that the keeper has of the daemon before.

    `pid` is None while its launch is not confirmed. `told` means that it was
    told to go. One that is `gone` has ended since; its `Exited` (or
    `SpawnFailed`) is posted after the adoption. `checksum` is that of the manifest
    it was launched with.
    """

    generation: int
    pid: int | None
    since: float
    ready: bool = False
    told: bool = False
    gone: bool = False
    checksum: str = ""


class _Roles(Struct):
    """What each of the processes is there for."""

    serves: Survivor | None
    starts: Survivor | None
    leave: tuple[Survivor, ...]


def memory_of(unit: Unit) -> Memory:
    """What to have the keeper remember of the unit."""
    return Memory(
        generation=unit.generation,
        stay=_stay(unit.phase),
        restarts=unit.restarts,
        history=unit.history,
        ended=unit.ended,
        checksum=unit.spec.checksum if unit.spec else "",
        policy=policy_of(unit),
        alone=_alone(unit.phase),
    )


def _stay(phase: Phase) -> tuple[int, ...]:
    match phase:
        case Starting(generation=one) | Running(generation=one):
            return (one,)
        case Replacing(old=old, new=new):
            return (old.generation, new.generation)
        case _:
            return ()


def _alone(phase: Phase) -> Alone | None:
    """A process that is nowhere to be found is one whose launch was lost."""
    match phase:
        case Asleep() | Waiting() | Backoff() | Failed():
            return phase
        case Starting(since=since) | Running(since=since) | Replacing(old=Running(since=since)):
            return Waiting(since, LOST)
        case _:
            return None


def adopt(
    fleet: Fleet,
    slug: str,
    memory: Memory,
    survivors: tuple[Survivor, ...],
    now: float,
    jitter: float,
) -> tuple[Fleet, Orders]:
    """Take over what is left of one unit: what is known of it, and its processes if any live.

    A unit that the fleet has already is left alone. What is on disk by now is
    news: post it afterwards, as `reconcile` says.
    """
    if slug in fleet.units:
        return fleet, ()
    draft = draft_of(fleet, now, lambda: jitter)
    unit, effects = _revived(draft.born(slug), memory, survivors, now, jitter)
    draft.put(unit)
    draft.orders += [Order(slug, effect) for effect in effects]
    return fleet_of(draft), tuple(draft.orders)


def _revived(
    unit: Unit, memory: Memory, survivors: tuple[Survivor, ...], now: float, jitter: float
) -> moves.Step:
    roles = _roles(unit, memory, survivors)
    up = roles.starts or roles.serves  # what it runs is what its manifest is held to be
    checksum = up.checksum if up else memory.checksum
    unit = replace(
        unit,
        spec=UnitSpec(slug=unit.slug, name=unit.slug, checksum=checksum, policy=memory.policy),
        generation=max(unit.generation, memory.generation, *(it.generation for it in survivors)),
        history=memory.history,
        restarts=memory.restarts,
        ended=memory.ended,
    )
    unit, farewells = _sent_off(unit, roles, now)
    phase = _phase(unit, roles, memory, now)
    if phase is None:  # at rest: its manifest begins it anew
        return replace(unit, spec=None), (do.ReleaseSocket(),)
    unit = replace(unit, phase=phase)
    return unit, (*_socket(phase), *farewells, *_timers(unit, now, jitter), _record(unit))


def _roles(unit: Unit, memory: Memory, survivors: tuple[Survivor, ...]) -> _Roles:
    """The newest that is ready serves, a newer one starts, and all others leave.

    One that has ended meanwhile has its place only if it is the newest: else
    its successor was on its way already.
    """
    stay = (one for one in survivors if _is_to_stay(one, memory)) if unit.wanted else ()
    wanted = tuple(stay)
    newest = max(wanted, key=lambda one: one.generation, default=None)
    ready = [one for one in wanted if _is_ready(one) and not one.gone]
    serves = max(ready, key=lambda one: one.generation, default=None)
    starts = None if newest is None or _is_ready(newest) else newest
    if serves is None and starts is None:
        serves = newest
    leave = tuple(one for one in survivors if one is not serves and one is not starts)
    return _Roles(serves, starts, leave)


def _is_to_stay(one: Survivor, memory: Memory) -> bool:
    """Whether nobody has told it to go, or was about to when the daemon died."""
    return not one.told and (one.generation in memory.stay or one.generation > memory.generation)


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


def _phase(unit: Unit, roles: _Roles, memory: Memory, now: float) -> Phase | None:
    serves = _serving(roles.serves, now) if roles.serves else None
    starts = _starting(roles.starts, unit, now) if roles.starts else None
    if serves and starts:
        return Replacing(replace(serves, renew=FOUND), starts)
    if serves or starts:
        return serves or starts
    if memory.alone is None or not unit.wanted:
        return Stopping(now, _then(unit), unit.leaving[-1].reason) if unit.leaving else None
    if isinstance(memory.alone, Asleep) and unit.leaving:  # their ends are yet to be told again
        return Stopping(now, "sleep", memory.alone.reason)
    return memory.alone


def _socket(phase: Phase) -> tuple[do.Effect, ...]:
    if isinstance(phase, Asleep):
        return do.HoldSocket(), do.WatchSocket()
    return (do.HoldSocket() if keeps_socket(phase) else do.ReleaseSocket(),)


def _serving(one: Survivor, now: float) -> Running:
    pid = one.pid or 0
    return Running(one.generation, pid, one.since, used=now, checksum=one.checksum)


def _starting(one: Survivor, unit: Unit, now: float) -> Starting:
    deadline = now + policy_of(unit).start_timeout
    return Starting(one.generation, now, deadline, one.pid, checksum=one.checksum)


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
        case Backoff(until=float() as until) | Failed(retry_at=float() as until):
            effects += (do.Arm("backoff", max(now, until), unit.generation),)
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
