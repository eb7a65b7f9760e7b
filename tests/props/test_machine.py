"""One unit under any sequence of events whatsoever."""

from hypothesis import given
from hypothesis import strategies as st

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.machine import TIMERS, step
from atoll_supervisor.core.phases import Unit, Waiting, is_live, keeps_socket
from atoll_supervisor.core.spec import Policy, UnitSpec

RESTARTS = st.sampled_from(("always", "on-failure", "never"))
POLICIES = st.builds(Policy, restart=RESTARTS, max_restarts=st.integers(0, 3))
SPECS = st.builds(
    UnitSpec,
    slug=st.just("a"),
    name=st.just("A"),
    checksum=st.sampled_from("12"),
    policy=POLICIES,
)
FIELDS = {"generation": st.integers(0, 4), "spec": SPECS, "code": st.sampled_from((0, 1, None))}


def of_kind(kind: type[ev.Event]) -> st.SearchStrategy[ev.Event]:
    return st.builds(kind, **{k: v for k, v in FIELDS.items() if k in kind.__struct_fields__})


EVENTS = st.one_of([of_kind(kind) for kind in ev.Event.__args__])
LIVES = st.lists(st.tuples(EVENTS, st.floats(0, 100), st.floats(0, 0.999)), max_size=40)


@given(LIVES)
def test_whatever_happens_the_rules_of_a_unit_hold(
    life: list[tuple[ev.Event, float, float]],
) -> None:
    unit, now = Unit(slug="a"), 0.0
    for event, pause, jitter in life:
        now += pause
        after, effects = step(unit, event, now, jitter)
        check(unit, event, after, effects)
        unit = after


def check(unit: Unit, event: ev.Event, after: Unit, effects: tuple[do.Effect, ...]) -> None:
    spawns = [effect for effect in effects if isinstance(effect, do.Spawn)]
    assert len(spawns) == (after.generation - unit.generation)
    assert not spawns or isinstance(unit.phase, Waiting)
    if is_live(unit) and not is_live(after):
        assert isinstance(event, ev.Exited | ev.SpawnFailed)
    if isinstance(event, ev.OfProcess) and event.generation != unit.generation:
        assert (after, effects) == (unit, ())
    for effect in effects:
        if isinstance(effect, do.Arm):
            assert effect.timer in TIMERS[type(after.phase)]
        if isinstance(effect, do.Terminate | do.Kill | do.Probe | do.Arm):
            assert effect.generation == after.generation
    released = do.ReleaseSocket() in effects
    assert released == (keeps_socket(unit.phase) and not keeps_socket(after.phase))
    if type(unit.phase) is not type(after.phase):
        disarmed = {effect.timer for effect in effects if isinstance(effect, do.Disarm)}
        assert disarmed == set(TIMERS.get(type(unit.phase), ()))


@given(LIVES)
def test_a_stop_and_an_exit_always_bring_a_unit_to_rest(
    life: list[tuple[ev.Event, float, float]],
) -> None:
    unit = Unit(slug="a")
    for event, _, jitter in life:
        unit, _ = step(unit, event, 1.0, jitter)
    unit, _ = step(unit, ev.StopAsked(), 2.0, 0.0)
    unit, _ = step(unit, ev.Exited(unit.generation, code=1), 3.0, 0.0)
    assert not is_live(unit)
    assert not keeps_socket(unit.phase)
