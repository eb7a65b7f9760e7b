"""How a unit's phase changes: the moves that several events of `machine` share.

Which event leads to which move stands in `machine`, `asked` and `vitals`;
nothing here is called from anywhere else, but for adoption, which arms the
same timers.
"""

from math import ceil
from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core.causes import not_started
from atoll_supervisor.core.health import next_probe
from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Leaving,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Then,
    Unit,
    Waiting,
    policy_of,
)
from atoll_supervisor.core.restarts import CLEAN, STABLE_AFTER, after_end

SLOT_TIME = 5.0
"""Seconds a starting unit counts towards the start limit: a start that hangs must not
keep others from starting."""

KILL_AGAIN = 5.0
"""Seconds after which a process that outlived SIGKILL (a blocked disk) is killed again."""

MOST_LEAVING = 3
"""Processes of one unit that may be on their way out when another is launched: restarts in
quick succession over long streams must not pile processes up."""

TOGETHER = 5.0
"""Seconds; probes that are further apart than this are made together with others."""

NO_LIMIT = float("inf")

Step = tuple[Unit, tuple[do.Effect, ...]]


def wait(unit: Unit, now: float, reason: str) -> Step:
    """Start again at the next turn, which may be at once."""
    return replace(unit, phase=Waiting(now, reason)), ()


def sleep(unit: Unit, now: float, reason: str) -> Step:
    """No process until a client comes; one that waits already wakes it at once."""
    return replace(unit, phase=Asleep(now, reason)), (do.HoldSocket(), do.WatchSocket())


def may_launch(unit: Unit) -> bool:
    """Whether the processes on their way out leave room for another one."""
    return len(unit.leaving) < (MOST_LEAVING if policy_of(unit).overlap else 1)


def must_be_alone(unit: Unit) -> bool:
    """Whether processes are on their way out beside which no other may live."""
    return bool(unit.leaving) and not policy_of(unit).overlap


def start(unit: Unit, now: float) -> Step:
    """Launch the next generation, beside the one that serves if there is one.

    It counts as a restart when only a failure asked for it.
    """
    new = Starting(
        unit.generation + 1,
        now,
        now + policy_of(unit).start_timeout,
        checksum=unit.spec.checksum if unit.spec else "",
    )
    effects: tuple[do.Effect, ...] = (
        do.HoldSocket(),
        do.Spawn(new.generation),
        *start_timers(new),
    )
    unit = replace(unit, generation=new.generation)
    if isinstance(unit.phase, Running):
        return replace(unit, phase=Replacing(unit.phase, new)), effects
    restarts = unit.restarts + (unit.history != CLEAN)
    return replace(unit, phase=new, restarts=restarts), effects


def start_timers(new: Starting) -> tuple[do.Arm, ...]:
    """What limits a start."""
    return (
        do.Arm("start", new.deadline, new.generation),
        do.Arm("slot", new.since + SLOT_TIME, new.generation),
    )


def run(unit: Unit, new: Starting, pid: int, now: float, jitter: float) -> Step:
    """The process serves: begin to watch it, and let the one before it drain."""
    serves = Running(new.generation, pid, now, used=now, checksum=new.checksum)
    farewell: tuple[do.Effect, ...] = ()
    if isinstance(unit.phase, Replacing):
        unit, farewell = part(unit, unit.phase.old, unit.phase.old.renew, now)
    running = replace(unit, phase=serves)
    return running, (*farewell, *watch(running, serves, now, jitter))


def watch(unit: Unit, serves: Running, now: float, jitter: float) -> tuple[do.Arm, ...]:
    """The timers of a process that serves."""
    stable = do.Arm("stable", max(now, serves.since + STABLE_AFTER), serves.generation)
    timers = (stable, arm_probe(unit, serves, now, jitter))
    idle = policy_of(unit).idle_timeout
    return (*timers, do.Arm("idle", serves.used + idle, serves.generation)) if idle else timers


def part(
    unit: Unit, one: Starting | Running, reason: str, now: float, grace: float = NO_LIMIT
) -> Step:
    """Let a process drain and go, for `stop_timeout` or a shorter `grace` seconds.

    The phase is the caller's to change.
    """
    deadline = now + min(grace, policy_of(unit).stop_timeout)
    leaving = Leaving(one.generation, one.pid, deadline, reason=reason)
    signal = () if one.pid is None else (do.Terminate(one.generation),)
    return replace(unit, leaving=(*unit.leaving, leaving)), signal


def cut(unit: Unit, one: Starting, reason: str, now: float) -> Step:
    """Kill a process that does not serve yet, which has nothing to drain.

    The phase is the caller's to change.
    """
    leaving = Leaving(one.generation, one.pid, now + KILL_AGAIN, killed=True, reason=reason)
    signal = () if one.pid is None else (do.Kill(one.generation),)
    return replace(unit, leaving=(*unit.leaving, leaving)), signal


def stop(unit: Unit, then: Then, reason: str, now: float) -> Step:
    """Tell every process to go; without one, what follows happens in the same step."""
    effects: tuple[do.Effect, ...] = ()
    match unit.phase:
        case Replacing(old=old, new=new):
            unit, effects = part(unit, old, reason, now)
            unit, more = part(unit, new, reason, now)
            effects += more
        case Starting() | Running() as one:
            unit, effects = part(unit, one, reason, now)
        case _:
            pass
    return replace(unit, phase=Stopping(now, then, reason)), effects


def redirect(unit: Unit, phase: Stopping, then: Then, reason: str) -> Unit:
    """Change what follows a stop that is under way."""
    return replace(unit, phase=replace(phase, then=then, reason=reason))


def after_stop(unit: Unit, phase: Stopping, now: float, jitter: float) -> Step:
    """Every process is gone: do what was to follow."""
    match phase.then:
        case "rest":
            return replace(unit, phase=Stopped(phase.reason)), ()
        case "forget":
            return replace(unit, phase=Stopped(phase.reason)), (do.Forget(),)
        case "start":
            return wait(unit, now, phase.reason)
        case "sleep":
            return sleep(unit, now, phase.reason)
        case "recover":
            return after_failure(unit, phase.reason, now, jitter)
        case _:
            assert_never(phase.then)


def kill_overdue(unit: Unit, now: float) -> Step:
    """Kill those whose time to go is over, and look again later."""
    due = {one.generation for one in unit.leaving if one.deadline <= now}
    leaving = tuple(
        replace(one, deadline=now + KILL_AGAIN, killed=True) if one.generation in due else one
        for one in unit.leaving
    )
    kills = (do.Kill(one.generation) for one in leaving if one.generation in due and one.pid)
    return replace(unit, leaving=leaving), tuple(kills)


def keep_old(unit: Unit, old: Running, reason: str) -> Unit:
    """The successor failed: the old process goes on, and the lists say why.

    A manifest that does not start is a mistake in the manifest as much as one
    that cannot be read, which is told first.
    """
    note = not_started(reason)
    edited = unit.spec is not None and unit.spec.checksum != old.checksum
    unreadable = unit.config_error not in (None, old.note)
    complaint = note if edited and not unreadable else unit.config_error
    return replace(unit, phase=replace(old, renew="", note=note), config_error=complaint)


def renew(unit: Unit, phase: Running, cause: str, now: float) -> Step:
    """Replace what serves: side by side when its turn comes, else one after the other."""
    if not policy_of(unit).overlap:
        return stop(unit, "start", cause, now)
    return replace(unit, phase=replace(phase, renew=cause)), ()


def after_loss(unit: Unit, reason: str, now: float, jitter: float) -> Step:
    """What served does so no more: its successor goes on, comes earlier, or is yet to be asked.

    The unit's account is charged in each case.
    """
    match unit.phase:
        case Replacing(new=new):
            charged = _charged(unit, now, jitter)
            return replace(charged, phase=new, restarts=unit.restarts + 1), ()
        case Running(renew=cause) if cause:
            return wait(_charged(unit, now, jitter), now, cause)
        case _:
            return after_failure(unit, reason, now, jitter)


def _charged(unit: Unit, now: float, jitter: float) -> Unit:
    return replace(unit, history=after_end(unit.history, policy_of(unit), now, jitter).history)


def after_failure(unit: Unit, reason: str, now: float, jitter: float) -> Step:
    """Start it again: (1) never, (2) slowly, (3) at once, (4) after a pause."""
    policy = policy_of(unit)
    if policy.restart == "never":  # 1
        return replace(unit, phase=Failed(reason, None)), ()
    again = after_end(unit.history, policy, now, jitter)
    unit = replace(unit, history=again.history)
    until = now + again.delay
    pause = do.Arm("backoff", until, unit.generation)
    if again.spent:  # 2
        return replace(unit, phase=Failed(reason, until)), (pause,)
    if not again.delay:  # 3
        return wait(unit, now, reason)
    return replace(unit, phase=Backoff(until, reason)), (pause,)  # 4


def arm_probe(unit: Unit, serves: Running, now: float, jitter: float) -> do.Arm:
    """The timer of the next probe; sooner when the last one was missed.

    Those that have time are due at full seconds, many at once: to wake up costs
    an idle daemon several times what a probe does.
    """
    delay = next_probe(serves.misses, policy_of(unit).probe_interval, jitter)
    due = now + delay
    return do.Arm("probe", ceil(due) if delay > TOGETHER else due, serves.generation)
