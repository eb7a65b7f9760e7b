"""A daemon takes over what the one before has left."""

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.adopt import Memory, Survivor, adopt, memory_of
from atoll_supervisor.core.fleet import Fleet, step
from atoll_supervisor.core.reconcile import reconcile
from atoll_supervisor.core.restarts import History
from atoll_supervisor.core.spec import Policy, UnitSpec

SPEC = UnitSpec(slug="a", name="A", checksum="1", policy=Policy(stop_timeout=30.0))
SLEEPER = replace(SPEC, policy=replace(SPEC.policy, idle_timeout=60.0))
PAST = History(ends=(90.0,), attempt=1)
MEMORY = Memory("1", 3, PAST, ph.Ended(1, None, "exit code 1", 90.0), SPEC.policy)
SERVES = Survivor(generation=5, pid=105, since=50.0, ready=True, memory=MEMORY)
STARTS = Survivor(generation=6, pid=106, since=99.0, memory=MEMORY)


class Taken:
    """A fleet that has just taken unit "a" over at 100."""

    def __init__(
        self, *survivors: Survivor, spec: UnitSpec | None = SPEC, unwanted: str = ""
    ) -> None:
        fleet = Fleet(unwanted=frozenset(unwanted))
        self.fleet, self.orders = adopt(fleet, "a", spec, survivors, 100.0, 0.0)

    @property
    def unit(self) -> ph.Unit:
        return self.fleet.units["a"]

    @property
    def done(self) -> list[do.Effect]:
        quiet = (do.Record, do.Arm)
        return [o.effect for o in self.orders if not isinstance(o.effect, quiet)]

    @property
    def armed(self) -> dict[str, float]:
        return {o.effect.timer: o.effect.at for o in self.orders if isinstance(o.effect, do.Arm)}

    def tell(self, event: ev.Event) -> "Taken":
        self.fleet, self.orders = step(self.fleet, "a", event, 101.0, 0.0)
        return self


def test_a_process_that_serves_goes_on_with_its_past_and_its_restarts() -> None:
    it = Taken(SERVES)
    assert it.unit.phase == ph.Running(5, 105, 50.0, used=100.0, checksum="1")
    assert (it.unit.restarts, it.unit.history, it.unit.ended) == (3, PAST, MEMORY.ended)
    assert it.done == [do.HoldSocket()]
    assert it.armed == {"stable": 110.0, "probe": 130.0}


def test_what_was_taken_over_is_recorded() -> None:
    records = [o.effect for o in Taken(SERVES).orders if isinstance(o.effect, do.Record)]
    cause = "taken over from the daemon before: process 105 goes on"
    assert records == [
        do.Record(before="running", after="running", cause=cause, generation=5, pid=105, restarts=3)
    ]


def test_an_unchanged_manifest_is_no_news_and_a_changed_one_replaces_the_process() -> None:
    assert Taken(SERVES).unit.spec == SPEC
    edited = replace(SPEC, checksum="2")
    it = Taken(SERVES, spec=edited)
    assert it.unit.spec == SPEC
    it.tell(ev.SpecAccepted(edited))
    assert isinstance(it.unit.phase, ph.Replacing)
    assert it.unit.generation == 6


def test_a_launch_that_is_not_ready_goes_on_with_a_fresh_deadline() -> None:
    it = Taken(replace(STARTS, pid=None))
    assert it.unit.phase == ph.Starting(6, 100.0, 160.0, checksum="1")
    assert it.armed == {"start": 160.0, "slot": 105.0}
    assert "a" in it.fleet.early
    it.tell(ev.Spawned(6, 106)).tell(ev.BecameReady(6))
    assert ph.pid_of(it.unit) == 106


def test_a_replacement_under_way_goes_on() -> None:
    it = Taken(SERVES, STARTS)
    assert isinstance(it.unit.phase, ph.Replacing)
    it.tell(ev.BecameReady(6))
    assert (ph.pid_of(it.unit), it.unit.leaving[0].generation) == (106, 5)


def test_of_two_that_serve_the_newer_stays() -> None:
    it = Taken(SERVES, replace(STARTS, ready=True))
    assert ph.pid_of(it.unit) == 106
    assert do.Terminate(5) in it.done
    assert it.armed["leave"] == 130.0


def test_one_that_was_told_to_go_is_not_told_again_and_gets_all_its_time() -> None:
    it = Taken(replace(SERVES, generation=4, pid=104, told=True), SERVES)
    assert it.done == [do.HoldSocket()], "a second SIGTERM would cut off what it still answers"
    assert it.unit.leaving == (ph.Leaving(4, 104, 130.0, reason="told to go by the daemon before"),)


def test_a_unit_of_which_all_were_told_to_go_starts_again_when_they_are_gone() -> None:
    it = Taken(replace(SERVES, told=True))
    assert isinstance(it.unit.phase, ph.Stopping)
    it.tell(ev.Exited(5, code=0))
    assert isinstance(it.unit.phase, ph.Starting)
    assert it.unit.generation == 6


def test_a_unit_that_was_falling_asleep_falls_asleep() -> None:
    it = Taken(replace(SERVES, told=True), spec=SLEEPER).tell(ev.Exited(5, code=0))
    assert isinstance(it.unit.phase, ph.Asleep)
    assert it.done == [do.Disarm("leave"), do.HoldSocket(), do.WatchSocket()]


def test_an_idle_unit_is_given_its_idle_time_anew() -> None:
    assert Taken(SERVES, spec=SLEEPER).armed["idle"] == 160.0


def test_a_unit_that_is_not_wanted_and_lives_is_stopped() -> None:
    it = Taken(SERVES, unwanted="a")
    assert it.done == [do.ReleaseSocket(), do.Terminate(5)]
    it.tell(ev.Exited(5, code=0))
    assert it.unit.phase == ph.Stopped("stopped by an operator")


def test_a_unit_whose_folder_is_gone_runs_until_that_is_told() -> None:
    it = Taken(SERVES, spec=None)
    assert ph.pid_of(it.unit) == 105
    it.tell(ev.Removed())
    assert do.Terminate(5) in it.done
    it.tell(ev.Exited(5, code=0))
    assert it.fleet.units == {}


def test_a_unit_whose_manifest_cannot_be_read_keeps_the_policy_it_was_launched_with() -> None:
    alone = replace(SPEC.policy, overlap=False)
    it = Taken(replace(SERVES, memory=replace(MEMORY, policy=alone)), spec=None)
    it.tell(ev.SpecBroken("agent.toml:3:1: unknown key", "a/agent.toml")).tell(ev.RestartAsked())
    assert isinstance(it.unit.phase, ph.Stopping)


def test_an_end_that_was_missed_is_answered_as_if_it_came_now() -> None:
    it = Taken(replace(SERVES, gone=True))
    assert it.done == [do.HoldSocket()]
    it.tell(ev.Exited(5, signal="SIGKILL"))
    assert it.unit.history.attempt == 2
    assert it.unit.ended == ph.Ended(None, "SIGKILL", "killed by SIGKILL", 101.0)


def test_a_failed_replacement_that_was_missed_leaves_the_old_one_serving() -> None:
    it = Taken(SERVES, replace(STARTS, gone=True)).tell(ev.Exited(6, code=1))
    assert ph.pid_of(it.unit) == 105
    assert "did not start" in ph.reason_of(it.unit.phase)


def test_one_that_lives_serves_on_when_the_newer_one_has_ended() -> None:
    it = Taken(SERVES, replace(STARTS, ready=True, gone=True))
    assert ph.pid_of(it.unit) == 105
    assert it.tell(ev.Exited(6, code=1)).unit.leaving == ()


def test_an_edit_whose_process_has_ended_is_still_news_to_the_older_one_that_serves() -> None:
    edited = replace(SPEC, checksum="2")
    newer = replace(STARTS, ready=True, gone=True, memory=replace(MEMORY, checksum="2"))
    it = Taken(SERVES, newer, spec=edited)
    assert reconcile([edited], it.fleet.units) == (("a", ev.SpecAccepted(edited)),)
    it.tell(ev.SpecAccepted(edited))
    assert isinstance(it.unit.phase, ph.Replacing)


def test_new_generations_go_on_after_the_newest_in_whatever_order_they_are_told() -> None:
    it = Taken(replace(STARTS, told=True), SERVES).tell(ev.RestartAsked())
    assert it.unit.generation == 7


def test_one_that_ended_and_has_a_successor_already_is_only_noted() -> None:
    it = Taken(replace(SERVES, gone=True), STARTS).tell(ev.Exited(5, code=1))
    assert isinstance(it.unit.phase, ph.Starting)
    assert (it.unit.history, it.unit.restarts) == (PAST, 3)


def test_nothing_to_take_over_is_nothing() -> None:
    assert Taken().fleet == Fleet()
    fleet = Taken(SERVES).fleet
    assert adopt(fleet, "a", SPEC, (SERVES,), 100.0, 0.0) == (fleet, ())


def test_what_travels_with_a_launch_is_what_is_needed_afterwards() -> None:
    unit = Taken(SERVES).unit
    assert memory_of(unit) == MEMORY
    assert memory_of(ph.Unit(slug="a")) == Memory()
