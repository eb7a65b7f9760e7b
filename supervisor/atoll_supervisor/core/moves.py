"""How a unit's phase changes: the moves that several events of `machine` share.

Which event leads to which move stands in `machine`; nothing here is called
from anywhere else.
"""

from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core.health import next_probe
from atoll_supervisor.core.phases import (
    Backoff,
    Failed,
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

Step = tuple[Unit, tuple[do.Effect, ...]]


def wait(unit: Unit, now: float, reason: str) -> Step:
    """Start again at the next turn, which may be at once."""
    return replace(unit, phase=Waiting(now, reason)), ()


def start(unit: Unit, now: float) -> Step:
    """Launch the next generation; it counts as a restart when only a failure asked for it."""
    generation = unit.generation + 1
    deadline = now + policy_of(unit).start_timeout
    started = replace(
        unit,
        phase=Starting(now, deadline),
        generation=generation,
        restarts=unit.restarts + (unit.history != CLEAN),
    )
    return started, (
        do.HoldSocket(),
        do.Spawn(generation),
        do.Arm("start", deadline, generation),
        do.Arm("slot", now + SLOT_TIME, generation),
    )


def run(unit: Unit, pid: int, now: float, jitter: float) -> Step:
    """The process serves: begin to watch it."""
    stable = do.Arm("stable", now + STABLE_AFTER, unit.generation)
    running = replace(unit, phase=Running(pid, now))
    return running, (stable, arm_probe(unit, 0, now, jitter))


def terminate(
    unit: Unit,
    phase: Starting | Running,
    then: Then,
    reason: str,
    now: float,
    grace: float = float("inf"),
) -> Step:
    """Let the process drain and go, for `stop_timeout` or a shorter `grace` seconds."""
    deadline = now + min(grace, policy_of(unit).stop_timeout)
    stopping = replace(unit, phase=Stopping(phase.pid, now, deadline, then, reason))
    signal = () if phase.pid is None else (do.Terminate(unit.generation),)
    return stopping, (*signal, do.Arm("stop", deadline, unit.generation))


def kill_start(unit: Unit, phase: Starting, now: float) -> Step:
    """A start that took too long has nothing to drain: kill it at once."""
    stopping = Stopping(phase.pid, now, now, "recover", "start-timeout")
    return kill(replace(unit, phase=stopping), stopping, now)


def kill(unit: Unit, phase: Stopping, now: float) -> Step:
    """Kill what there is to kill, and look again later."""
    signal = () if phase.pid is None else (do.Kill(unit.generation),)
    return unit, (*signal, do.Arm("stop", now + KILL_AGAIN, unit.generation))


def redirect(unit: Unit, phase: Stopping, then: Then, reason: str) -> Unit:
    """Change what follows a stop that is under way."""
    return replace(unit, phase=replace(phase, then=then, reason=reason))


def after_stop(unit: Unit, phase: Stopping, now: float, jitter: float) -> Step:
    """The process is gone: do what was to follow."""
    match phase.then:
        case "rest":
            return replace(unit, phase=Stopped(phase.reason)), ()
        case "forget":
            return replace(unit, phase=Stopped(phase.reason)), (do.Forget(),)
        case "start":
            return wait(unit, now, phase.reason)
        case "recover":
            return after_failure(unit, phase.reason, now, jitter)
        case _:
            assert_never(phase.then)


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


def arm_probe(unit: Unit, misses: int, now: float, jitter: float) -> do.Arm:
    """The timer of the next probe; sooner when the last one was missed."""
    delay = next_probe(misses, policy_of(unit).probe_interval, jitter)
    return do.Arm("probe", now + delay, unit.generation)
