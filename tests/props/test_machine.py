"""One unit under any sequence of events whatsoever; hypothesis drives and shrinks."""

from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace
from scripts import diagram

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.machine import is_due, leave_timer, step, timers_of
from atoll_supervisor.core.phases import (
    Asleep,
    Invalid,
    Leaving,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
    is_live,
    keeps_socket,
    process_of,
    processes,
    serving,
)
from atoll_supervisor.core.spec import Policy, UnitSpec

POLICIES = st.builds(
    Policy,
    restart=st.sampled_from(("always", "on-failure", "never")),
    max_restarts=st.integers(0, 3),
    stop_timeout=st.sampled_from((0.0, 30.0)),
    idle_timeout=st.sampled_from((0.0, 20.0)),
    overlap=st.booleans(),
)
SPECS = st.builds(
    UnitSpec,
    slug=st.just("a"),
    name=st.just("A"),
    checksum=st.sampled_from("123"),
    policy=POLICIES,
)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "generation": st.integers(0, 12),
    "spec": SPECS,
    "problem": st.just("agent.toml:3:1: unknown key"),
    "reason": st.sampled_from(("", "out of memory")),
    "cause": st.just("restarted by an operator"),
    "code": st.sampled_from((0, 1, None)),
}
WISHES: tuple[type[ev.Event], ...] = get_args(ev.Wish) + get_args(ev.Manifest)
OF_LIVE: tuple[type[ev.Event], ...] = get_args(ev.Process) + get_args(ev.Health)
EVENTS: tuple[type[ev.Event], ...] = get_args(ev.Event)


def of_kinds(kinds: tuple[type[ev.Event], ...]) -> st.SearchStrategy[ev.Event]:
    """Any event of these kinds."""
    return st.one_of(
        [
            st.builds(kind, **{k: v for k, v in FIELDS.items() if k in kind.__struct_fields__})
            for kind in kinds
        ]
    )


class OneUnit(RuleBasedStateMachine):
    """Any event at any time, with a bias towards those that a real shell would send."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = Unit(slug="a")
        self.now = diagram.NOW
        self.timers: dict[do.Timer, do.Arm] = {}

    @initialize(unit=st.sampled_from((Unit(slug="a"), *diagram.UNITS.values())))
    def it_begins(self, unit: Unit) -> None:
        """In any phase, so that each is tried however rarely luck leads there."""
        self.unit = unit
        for timer, generation in timers_of(unit).items():
            self.timers[timer] = do.Arm(timer, self.now + 5, generation)
        for arm in leave_timer(replace(unit, leaving=()), unit):
            assert isinstance(arm, do.Arm)
            self.timers["leave"] = arm

    @rule(event=of_kinds(EVENTS), jitter=st.floats(0, 0.999))
    def anything_happens(self, event: ev.Event, jitter: float) -> None:
        self.tell(event, jitter)

    @rule(event=of_kinds(WISHES))
    def somebody_asks(self, event: ev.Event) -> None:
        self.tell(event)

    @rule(pid=st.integers(100, 999), ready=st.booleans())
    def it_is_its_turn(self, pid: int, *, ready: bool) -> None:
        """And the process that is then launched exists, and perhaps gets ready."""
        self.tell(ev.Admitted())
        for one in processes(self.unit):
            if isinstance(one, Starting):
                self.tell(ev.Spawned(one.generation, pid))
                if ready:
                    self.tell(ev.BecameReady(one.generation))

    @precondition(lambda self: serving(self.unit) is not None)
    @rule()
    def it_crashes(self) -> None:
        if (running := serving(self.unit)) is not None:
            self.tell(ev.Exited(running.generation, code=1))

    @precondition(lambda self: serving(self.unit) is not None)
    @rule()
    def it_is_replaced(self) -> None:
        self.tell(ev.RestartAsked())
        self.tell(ev.Admitted())

    @precondition(lambda self: is_live(self.unit))
    @rule(data=st.data())
    def one_of_its_processes_is_heard_of(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(processes(self.unit)))
        event = data.draw(of_kinds(OF_LIVE))
        assert isinstance(event, ev.OfProcess)
        self.tell(replace(event, generation=one.generation))

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        """And the timers ring in their order."""
        end = self.now + seconds
        while (due := min(self.timers.values(), key=lambda arm: arm.at, default=None)) is not None:
            if due.at > end:
                break
            del self.timers[due.timer]
            self.now = max(self.now, due.at)
            self.tell(ev.elapsed(due.timer, due.generation))
        self.now = end

    def tell(self, event: ev.Event, jitter: float = 0.0) -> None:
        before = self.unit
        self.unit, effects = step(before, event, self.now, jitter)
        for effect in effects:
            match effect:
                case do.Arm(timer=timer):
                    self.timers[timer] = effect
                case do.Disarm(timer=timer):
                    self.timers.pop(timer, None)
                case _:
                    pass
        check_step(before, event, self.unit, effects)

    @invariant()
    def every_process_has_one_place_and_every_deadline_a_timer(self) -> None:
        unit, timers = self.unit, set(self.timers)
        generations = [one.generation for one in processes(unit)]
        assert len(generations) == len(set(generations))
        assert all(0 < generation <= unit.generation for generation in generations)
        assert ("leave" in timers) == bool(unit.leaving)
        assert timers - {"leave"} <= set(timers_of(unit))
        if isinstance(unit.phase, Starting | Replacing):
            assert "start" in timers
        if isinstance(unit.phase, Stopped | Asleep | Invalid):
            assert not unit.leaving
        if isinstance(unit.phase, Stopping):
            assert unit.leaving

    @invariant()
    def a_stop_and_the_ends_of_its_processes_always_bring_it_to_rest(self) -> None:
        unit, _ = step(self.unit, ev.StopAsked(), self.now, 0.0)
        for one in processes(unit):
            unit, _ = step(unit, ev.Exited(one.generation, code=1), self.now, 0.0)
        assert not is_live(unit)
        assert not keeps_socket(unit.phase)


def check_step(before: Unit, event: ev.Event, after: Unit, effects: tuple[do.Effect, ...]) -> None:
    """What holds of each single step."""
    spawns = [effect for effect in effects if isinstance(effect, do.Spawn)]
    assert len(spawns) == after.generation - before.generation
    assert not spawns or (is_due(before) and isinstance(before.phase, Waiting | Running))
    gone = {one.generation for one in processes(before)} - {
        one.generation for one in processes(after)
    }
    ended = event.generation if isinstance(event, ev.Exited | ev.SpawnFailed) else None
    assert gone <= {ended}
    if isinstance(event, ev.OfProcess) and not isinstance(event, ev.BackoffElapsed):
        assert process_of(before, event.generation) or (after, effects) == (before, ())
    released = do.ReleaseSocket() in effects
    assert released or not keeps_socket(before.phase) or keeps_socket(after.phase)
    assert not (released and keeps_socket(after.phase))
    records = [effect for effect in effects if isinstance(effect, do.Record)]
    assert len(records) <= 1
    assert all(record.cause for record in records)
    check_signals(before, after, effects)


def check_signals(before: Unit, after: Unit, effects: tuple[do.Effect, ...]) -> None:
    """Only processes that leave are signalled, and all that serve and leave are told."""
    signalled = {e.generation for e in effects if isinstance(e, do.Terminate | do.Kill)}
    leaving = {one.generation: one for one in after.leaving}
    assert signalled <= leaving.keys()
    for generation in leaving:
        was = process_of(before, generation)
        if was is not None and not isinstance(was, Leaving) and was.pid is not None:
            assert generation in signalled


TestOneUnit = OneUnit.TestCase
TestOneUnit.settings = settings(max_examples=150, stateful_step_count=40)
