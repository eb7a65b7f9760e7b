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
PAST = History(ends=(90.0,), attempt=1)
MEMORY = Memory(
    generation=5,
    stay=(5,),
    restarts=3,
    history=PAST,
    ended=ph.Ended(1, None, "exit code 1", 90.0),
    checksum="1",
    policy=SPEC.policy,
    alone=ph.Waiting(50.0, "its launch was lost with the daemon before"),
)
SLEEPY = replace(MEMORY, policy=replace(SPEC.policy, idle_timeout=60.0))
GOING = replace(MEMORY, stay=(), alone=None)
SERVES = Survivor(generation=5, pid=105, since=50.0, ready=True, checksum="1")
STARTS = Survivor(generation=6, pid=106, since=99.0, checksum="1")


class Taken:
    """A fleet that has just taken unit "a" over at 100."""

    def __init__(self, *survivors: Survivor, memory: Memory = MEMORY, unwanted: str = "") -> None:
        fleet = Fleet(unwanted=frozenset(unwanted))
        self.fleet, self.orders = adopt(fleet, "a", memory, survivors, 100.0, 0.0)

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
    it = Taken(SERVES).tell(ev.SpecAccepted(SPEC))
    assert (it.unit.phase, it.unit.history) == (Taken(SERVES).unit.phase, PAST)
    it.tell(ev.SpecAccepted(replace(SPEC, checksum="2")))
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
    it = Taken(replace(SERVES, told=True), memory=GOING)
    assert isinstance(it.unit.phase, ph.Stopping)
    it.tell(ev.Exited(5, code=0))
    assert isinstance(it.unit.phase, ph.Starting)
    assert it.unit.generation == 6


def test_a_unit_that_was_falling_asleep_falls_asleep() -> None:
    sleepy = replace(SLEEPY, stay=(), alone=None)
    it = Taken(replace(SERVES, told=True), memory=sleepy).tell(ev.Exited(5, code=0))
    assert isinstance(it.unit.phase, ph.Asleep)
    assert it.done == [do.Disarm("leave"), do.HoldSocket(), do.WatchSocket()]


def test_an_idle_unit_is_given_its_idle_time_anew() -> None:
    assert Taken(SERVES, memory=SLEEPY).armed["idle"] == 160.0


def test_a_unit_that_is_not_wanted_and_lives_is_stopped() -> None:
    it = Taken(SERVES, unwanted="a")
    assert it.done == [do.ReleaseSocket(), do.Terminate(5)]
    it.tell(ev.Exited(5, code=0))
    assert it.unit.phase == ph.Stopped("stopped by an operator")


def test_a_unit_whose_folder_is_gone_runs_until_that_is_told() -> None:
    it = Taken(SERVES).tell(ev.Removed())
    assert do.Terminate(5) in it.done
    it.tell(ev.Exited(5, code=0))
    assert it.fleet.units == {}


def test_a_unit_whose_manifest_cannot_be_read_keeps_the_policy_it_had() -> None:
    alone = replace(SPEC.policy, overlap=False)
    it = Taken(SERVES, memory=replace(MEMORY, policy=alone))
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
    it = Taken(SERVES, replace(STARTS, ready=True, gone=True, checksum="2"))
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
    fleet = Taken(SERVES).fleet
    assert adopt(fleet, "a", MEMORY, (SERVES,), 100.0, 0.0) == (fleet, ())


def test_what_is_remembered_of_a_unit_is_what_is_needed_afterwards() -> None:
    assert memory_of(Taken(SERVES).unit) == MEMORY
    assert memory_of(ph.Unit(slug="a")) == Memory()


def test_a_pause_goes_on_to_its_end_with_the_past_that_led_to_it() -> None:
    pause = ph.Backoff(130.0, "exit code 1")
    it = Taken(memory=replace(MEMORY, stay=(), alone=pause))
    assert (it.unit.phase, it.armed) == (pause, {"backoff": 130.0})
    assert (it.unit.generation, it.unit.restarts, it.unit.history) == (5, 3, PAST)
    assert it.tell(ev.SpecAccepted(SPEC)).unit.phase == pause
    it.tell(ev.BackoffElapsed(5))
    assert (it.unit.generation, it.unit.restarts) == (6, 4)


def test_a_pause_that_is_over_meanwhile_ends_at_once() -> None:
    over = Taken(memory=replace(MEMORY, stay=(), alone=ph.Failed("exit code 1", 99.0)))
    assert over.armed == {"backoff": 100.0}


def test_an_edit_ends_a_pause_also_if_it_was_made_while_no_daemon_was_there() -> None:
    it = Taken(memory=replace(MEMORY, stay=(), alone=ph.Backoff(130.0, "exit code 1")))
    it.tell(ev.SpecAccepted(replace(SPEC, checksum="2")))
    assert isinstance(it.unit.phase, ph.Starting)


def test_one_that_gave_up_for_good_stays_where_it_is() -> None:
    it = Taken(memory=replace(MEMORY, stay=(), alone=ph.Failed("exit code 1", None)))
    assert (it.done, it.armed) == ([do.ReleaseSocket()], {})
    assert isinstance(it.tell(ev.SpecAccepted(SPEC)).unit.phase, ph.Failed)


def test_a_sleeper_is_watched_again() -> None:
    it = Taken(memory=replace(SLEEPY, stay=(), alone=ph.Asleep(90.0, "idle for 60 s")))
    assert it.done == [do.HoldSocket(), do.WatchSocket()]


def test_a_launch_that_was_lost_is_made_again_under_another_number() -> None:
    """The daemon died after it had decided and before it had asked for the process."""
    it = Taken().tell(ev.SpecAccepted(SPEC))
    assert do.Spawn(6) in it.done
    assert it.unit.history == PAST


def test_one_that_was_to_go_is_told_if_the_daemon_died_before_it_did() -> None:
    it = Taken(SERVES, memory=GOING)
    assert do.Terminate(5) in it.done
    assert isinstance(it.unit.phase, ph.Stopping)


def test_an_end_that_was_taken_in_is_not_charged_twice() -> None:
    """The keeper had not heard yet that it need not remember the process."""
    pause = ph.Backoff(130.0, "exit code 1")
    it = Taken(replace(SERVES, gone=True), memory=replace(MEMORY, stay=(), alone=pause))
    it.tell(ev.Exited(5, code=1))
    assert (it.unit.phase, it.unit.history, it.unit.leaving) == (pause, PAST, ())


def test_one_at_rest_is_begun_anew_by_its_manifest_and_goes_on_counting() -> None:
    it = Taken(memory=GOING).tell(ev.SpecAccepted(SPEC))
    assert it.unit.generation == 6
