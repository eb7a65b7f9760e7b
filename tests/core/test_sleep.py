"""Scale to zero: no process while nobody comes, and the first client wakes it."""

import pytest

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from tests.fakes.life import Life, life, spec_of

IDLE = 60.0


def awake() -> Life:
    """A client came at 1 and is served."""
    return life(idle=IDLE).at(1.0, ev.ClientWaits()).up(1.0)


def test_a_unit_that_may_sleep_is_not_started_when_it_is_found() -> None:
    it = life(idle=IDLE)
    assert it.done == ["HoldSocket", "WatchSocket"]
    assert it.unit.phase == ph.Asleep(0.0, "no client yet")
    assert it.at(1.0, ev.Admitted()).done == []


def test_the_first_client_wakes_it() -> None:
    it = life(idle=IDLE).at(1.0, ev.ClientWaits())
    assert it.causes == [("asleep", "starting", "a client came")]
    assert it.at(1.0, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    assert it.unit.restarts == 0


@pytest.mark.parametrize("event", [ev.StartAsked(), ev.RestartAsked()])
def test_an_operator_wakes_it_too(event: ev.Event) -> None:
    assert isinstance(life(idle=IDLE).at(1.0, event).unit.phase, ph.Waiting)


def test_a_client_means_nothing_while_the_unit_is_awake_or_not_wanted() -> None:
    it = awake()
    before = it.unit
    assert it.at(2.0, ev.ClientWaits()).unit is before
    stopped = life(idle=IDLE).at(1.0, ev.StopAsked())
    assert stopped.done == ["ReleaseSocket"]
    assert stopped.at(2.0, ev.ClientWaits()).unit.phase == ph.Stopped("stopped by an operator")


def test_an_idle_unit_is_put_to_sleep_and_its_socket_is_watched() -> None:
    it = awake()
    assert it.armed["idle"] == 61.0
    it.at(61.0, ev.IdleTimeElapsed(1))
    assert it.done == ["Terminate"]
    assert it.causes == [("running", "draining", "idle for 60 s")]
    it.at(61.5, ev.Exited(1, code=0))
    assert it.done == ["HoldSocket", "WatchSocket"]
    assert it.unit.phase == ph.Asleep(61.5, "idle for 60 s")
    assert it.causes == [("draining", "asleep", "idle for 60 s")]


def test_a_unit_that_was_used_is_left_alone_for_as_long_again() -> None:
    it = awake().at(30.0, ev.WasUsed(1, 29.0, busy=True)).at(35.0, ev.WasUsed(1, 29.0, busy=False))
    assert it.at(61.0, ev.IdleTimeElapsed(1)).done == []
    assert it.armed == {"idle": 95.0}  # it worked until 35


def test_a_unit_that_works_is_not_idle_however_long_ago_its_last_request_came() -> None:
    it = awake().at(30.0, ev.WasUsed(1, 29.0, busy=True)).at(500.0, ev.IdleTimeElapsed(1))
    assert it.done == []
    assert it.armed == {"idle": 560.0}


def test_a_unit_that_is_being_replaced_is_not_put_to_sleep() -> None:
    it = awake().at(50.0, ev.RestartAsked()).at(50.0, ev.Admitted())
    assert it.at(61.0, ev.IdleTimeElapsed(1)).done == []
    assert it.armed == {"idle": 121.0}


def test_a_start_that_is_asked_for_while_it_falls_asleep_is_done() -> None:
    it = awake().at(61.0, ev.IdleTimeElapsed(1)).at(61.1, ev.StartAsked())
    assert isinstance(it.at(61.5, ev.Exited(1, code=0)).unit.phase, ph.Waiting)


def test_a_changed_manifest_does_not_wake_it_unless_it_forbids_to_sleep() -> None:
    it = life(idle=IDLE).at(1.0, ev.SpecAccepted(spec_of(checksum="2", idle=30.0)))
    assert isinstance(it.unit.phase, ph.Asleep)
    assert isinstance(it.at(2.0, ev.SpecAccepted(spec_of(checksum="3"))).unit.phase, ph.Waiting)


def test_a_broken_edit_does_not_wake_it() -> None:
    it = life(idle=IDLE).at(1.0, ev.SpecBroken("agent.toml:3:1: unknown key", "a/agent.toml"))
    assert isinstance(it.unit.phase, ph.Asleep)
    assert it.unit.config_error


def test_a_unit_that_crashes_while_awake_is_restarted_as_any_other() -> None:
    it = awake().at(5.0, ev.Exited(1, signal="SIGKILL"))
    assert isinstance(it.unit.phase, ph.Waiting)
    assert ph.keeps_socket(it.unit.phase)


def test_a_folder_that_comes_back_in_time_lets_its_unit_fall_asleep() -> None:
    it = awake().at(5.0, ev.Removed()).at(5.1, ev.SpecAccepted(spec_of(idle=IDLE)))
    assert isinstance(it.at(6.0, ev.Exited(1, code=0)).unit.phase, ph.Asleep)


def test_a_removed_sleeper_is_forgotten_at_once() -> None:
    it = life(idle=IDLE).at(1.0, ev.Removed())
    assert it.done == ["ReleaseSocket", "Forget"]
    assert do.Forget() in it.effects


def test_a_unit_without_an_idle_time_is_never_put_to_sleep() -> None:
    it = life().up(0.0)
    assert "idle" not in it.armed
    assert it.at(999.0, ev.IdleTimeElapsed(1)).done == []


def test_an_idle_time_that_is_given_while_it_runs_counts_from_then_on() -> None:
    it = life().up(0.0).at(100.0, ev.SpecAccepted(spec_of(idle=IDLE)))
    assert (it.done, it.armed) == ([], {"idle": 160.0})
    it.at(160.0, ev.IdleTimeElapsed(1))
    assert it.done == ["Terminate"]


def test_an_unchanged_idle_time_is_not_begun_anew_by_another_look() -> None:
    assert awake().at(30.0, ev.SpecAccepted(spec_of(idle=IDLE))).armed == {}


def test_a_sleeper_whose_manifest_only_forbids_to_sleep_is_started() -> None:
    it = life(idle=IDLE).at(1.0, ev.SpecAccepted(spec_of()))  # not in the checksum: effective.py
    assert isinstance(it.unit.phase, ph.Waiting)


def test_a_sleeper_whose_manifest_changed_is_watched_at_its_port_of_now() -> None:
    it = life(idle=IDLE).at(1.0, ev.SpecAccepted(spec_of(checksum="2", idle=IDLE)))
    assert it.done == ["HoldSocket", "WatchSocket"]


def test_a_unit_that_failed_for_good_is_started_when_only_its_policy_changed() -> None:
    it = life("never").at(1.0, ev.Admitted()).at(1.0, ev.Spawned(1, 101))
    assert it.at(2.0, ev.Exited(1, code=1)).unit.phase == ph.Failed(
        "ended before it was ready: exit code 1", None
    )
    assert isinstance(it.at(3.0, ev.SpecAccepted(spec_of("always"))).unit.phase, ph.Waiting)
