"""The life of one unit, replayed: at each time an event, and what is done about it."""

import pytest

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.restarts import CLEAN, History
from atoll_supervisor.core.spec import Restart, UnitSpec
from tests.fakes.life import Life, life


def test_a_start_holds_the_socket_before_it_asks_for_the_process() -> None:
    it = life().at(1.0, ev.Admitted())
    assert it.done == ["HoldSocket", "Spawn"]
    assert it.armed == {"start": 61.0, "slot": 6.0}


def test_a_unit_that_became_ready_is_watched() -> None:
    assert life().up(1.0).armed == {"stable": 61.0, "probe": 31.0}


def test_a_crash_is_answered_at_once_and_the_socket_stays() -> None:
    it = life().up(1.0).at(10.0, ev.Exited(1, signal="SIGKILL"))
    assert it.done == []
    assert it.causes == [("running", "starting", "killed by SIGKILL")]
    assert it.at(10.0, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    assert (it.unit.generation, it.unit.restarts) == (2, 1)
    assert it.unit.ended == ph.Ended(None, "SIGKILL", "killed by SIGKILL", 10.0)


def test_an_instant_crasher_is_tried_six_times_then_fails_and_is_retried_slowly() -> None:
    it, now, tries = life(), 0.0, []
    while now < 120.0:
        it.at(now, ev.Admitted())
        tries.append(now)
        it.at(now, ev.Exited(it.unit.generation, code=1))
        if "backoff" in it.armed:
            now = it.armed["backoff"]
            it.at(now, ev.BackoffElapsed(it.unit.generation))
    assert tries == [0, 0, 1, 3, 7, 15, 40, 65, 90, 115]
    assert it.unit.restarts == 9


def test_a_failed_unit_says_why_and_when_it_is_tried_again() -> None:
    it = life(max_restarts=0).at(0.0, ev.Admitted()).at(5.0, ev.SpawnFailed(1, "port 1 is in use"))
    assert it.unit.phase == ph.Failed("port 1 is in use", 30.0)
    assert it.causes == [("starting", "failed", "port 1 is in use")]


def test_a_minute_of_health_clears_the_past() -> None:
    it = life().up(0.0).at(1.0, ev.Exited(1, code=1)).up(1.0)
    assert it.armed["stable"] == 61.0
    assert it.unit.history == History(ends=(1.0,), attempt=1)
    assert it.at(61.0, ev.StabilityElapsed(2)).unit.history == CLEAN


def test_a_unit_in_doubt_is_not_forgiven_yet() -> None:
    it = life().up(0.0).at(1.0, ev.Exited(1, code=1)).up(1.0)
    it.at(60.5, ev.ProbeFailed(2, "timed out")).at(61.0, ev.StabilityElapsed(2))
    assert it.unit.history != CLEAN
    assert it.armed == {"stable": 121.0}


@pytest.mark.parametrize("event", [ev.StartAsked(), ev.RestartAsked()])
def test_an_operators_start_clears_the_budget_and_is_no_restart(event: ev.Event) -> None:
    it = life(max_restarts=0).up(0.0).at(1.0, ev.Exited(1, code=1)).at(2.0, event)
    assert isinstance(it.unit.phase, ph.Waiting)
    assert it.unit.history == CLEAN
    assert it.up(2.0).unit.restarts == 0


def test_a_changed_manifest_wakes_a_failed_unit_at_once() -> None:
    it = life(max_restarts=0).up(0.0).at(1.0, ev.Exited(1, code=1))
    spec = UnitSpec(slug="a", name="A", checksum="2")
    assert isinstance(it.at(2.0, ev.SpecAccepted(spec)).unit.phase, ph.Waiting)


@pytest.mark.parametrize(
    ("restart", "code", "phase"),
    [
        ("always", 0, ph.Waiting),
        ("always", 1, ph.Waiting),
        ("on-failure", 0, ph.Stopped),
        ("on-failure", 1, ph.Waiting),
        ("never", 0, ph.Stopped),
        ("never", 1, ph.Failed),
    ],
)
def test_the_policy_decides_what_an_end_means(restart: Restart, code: int, phase: type) -> None:
    it = life(restart).up(0.0).at(9.0, ev.Exited(1, code=code))
    assert type(it.unit.phase) is phase
    assert it.done == ([] if phase is ph.Waiting else ["ReleaseSocket"])


def test_a_policy_of_never_leaves_a_failed_unit_alone_for_good() -> None:
    it = life("never").up(0.0).at(9.0, ev.Exited(1, code=1))
    assert it.unit.phase == ph.Failed("exit code 1", None)
    assert it.armed == {}


def test_a_sigterm_that_nobody_here_sent_is_a_failure() -> None:
    it = life().up(0.0).at(9.0, ev.Exited(1, signal="SIGTERM"))
    assert isinstance(it.unit.phase, ph.Waiting)


def test_an_end_before_readiness_is_a_failure_even_with_code_0() -> None:
    it = life().at(0.0, ev.Admitted()).at(1.0, ev.Exited(1, code=0))
    assert it.unit.phase == ph.Waiting(1.0, "ended before it was ready: exit code 0")


def test_what_a_process_that_served_said_last_is_told_after_its_exit_code() -> None:
    """It may be harmless: not every last line explains an end."""
    it = life().up(0.0).at(1.0, ev.Exited(1, code=3, reason="INFO: 200 OK"))
    assert ph.reason_of(it.unit.phase) == "exit code 3: INFO: 200 OK"


def test_what_the_process_said_last_is_the_reason_of_a_failed_start() -> None:
    it = life().at(0.0, ev.Admitted())
    it.at(1.0, ev.Exited(1, code=1, reason="NameError: name 'x' is not defined"))
    assert ph.reason_of(it.unit.phase) == "NameError: name 'x' is not defined"


def test_what_is_known_of_a_signal_stands_beside_it() -> None:
    it = life().up(0.0).at(1.0, ev.Exited(1, signal="SIGKILL", reason="out of memory"))
    assert ph.reason_of(it.unit.phase) == "killed by SIGKILL: out of memory"


def test_what_is_known_of_an_end_that_nobody_saw_is_its_reason() -> None:
    it = life().up(0.0).at(1.0, ev.Exited(1, None, None, "the keeper ended"))
    assert ph.reason_of(it.unit.phase) == "the keeper ended"
    assert life().up(0.0).at(1.0, ev.Exited(1)).causes[0][2] == "ended unseen"


def test_one_that_ran_out_of_memory_while_it_was_told_to_go_is_told_so() -> None:
    it = life().up(0.0).at(9.0, ev.WentSilent(1, 3.0))
    it.at(9.5, ev.Exited(1, None, "SIGKILL", "oom-killed"))
    assert it.unit.ended is not None
    assert it.unit.ended.reason == "no heartbeat for 3 s (oom-killed)"


def test_a_start_that_takes_too_long_is_killed_and_told_as_start_timeout() -> None:
    it = life().at(0.0, ev.Admitted()).at(0.1, ev.Spawned(1, 7)).at(60.0, ev.StartTimeElapsed(1))
    assert it.done == ["Kill"]
    assert it.unit.phase == ph.Waiting(60.0, "start-timeout")
    assert it.unit.history.attempt == 1
    it.at(60.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.ended is not None
    assert it.unit.ended.reason == "start-timeout (killed)"
    assert it.unit.history.attempt == 1


def test_a_stop_closes_the_socket_then_escalates_until_the_process_is_gone() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked())
    assert it.done == ["ReleaseSocket", "Terminate"]
    assert it.armed == {"leave": 35.0}
    assert it.at(35.0, ev.LeaveTimeElapsed()).done == ["Kill"]
    assert it.causes == [("draining", "stopping", "it did not go in time and is killed")]
    assert it.armed == {"leave": 40.0}
    assert it.at(40.0, ev.LeaveTimeElapsed()).done == ["Kill"]
    it.at(40.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.phase == ph.Stopped("stopped by an operator")
    assert it.unit.ended is not None
    assert it.unit.ended.reason == "stopped by an operator (killed)"
    assert not it.unit.wanted


def test_a_timer_that_rings_a_moment_too_early_is_armed_again() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked()).at(34.999, ev.LeaveTimeElapsed())
    assert it.done == []
    assert it.armed == {"leave": 35.0}


def test_an_ordered_end_by_sigterm_is_clean() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked()).at(5.1, ev.Exited(1, signal="SIGTERM"))
    assert it.causes == [("draining", "stopped", "stopped by an operator")]
    assert it.unit.history == CLEAN


def test_a_shutdown_leaves_the_operators_wish_alone() -> None:
    it = life().up(0.0).at(5.0, ev.ShutDownBegun()).at(6.0, ev.Exited(1, code=0))
    assert it.unit.phase == ph.Stopped("the daemon went down")
    assert it.unit.wanted


@pytest.mark.parametrize(("late", "signal"), [(5.0, "Terminate"), (31.0, "Kill")])
def test_a_launch_overtaken_by_a_stop_is_ended_when_it_appears(late: float, signal: str) -> None:
    it = life().at(0.0, ev.Admitted()).at(1.0, ev.StopAsked())
    assert it.done == ["ReleaseSocket"]
    assert it.at(late, ev.Spawned(1, 7)).done == [signal]
    assert ph.pid_of(it.unit) == 7


def test_a_stop_time_that_elapses_before_the_launch_kills_nothing() -> None:
    it = life().at(0.0, ev.Admitted()).at(1.0, ev.StopAsked()).at(31.0, ev.LeaveTimeElapsed())
    assert it.done == []
    assert it.armed == {"leave": 36.0}
    assert it.at(31.5, ev.Spawned(1, 7)).done == ["Kill"]


def test_a_hung_unit_is_asked_again_soon_then_replaced_and_charged_for_it() -> None:
    it = life().up(0.0).at(30.0, ev.ProbeTimeElapsed(1))
    assert it.done == ["Probe"]
    assert it.at(35.0, ev.ProbeFailed(1, "timed out")).armed == {"probe": 36.0}
    it.at(41.0, ev.ProbeFailed(1, "timed out"))
    it.at(47.0, ev.ProbeFailed(1, "timed out"))
    assert it.done == ["Terminate"]
    assert it.armed == {"leave": 48.0}
    why = "it did not answer 3 probes in a row: timed out"
    assert it.causes == [("running", "starting", why)]
    assert it.unit.history.attempt == 1


def test_the_successor_of_a_hung_unit_does_not_wait_for_its_death() -> None:
    it = life().up(0.0).at(20.0, ev.WentSilent(1, 3.0))
    assert it.done == ["Terminate"]
    assert it.causes == [("running", "starting", "no heartbeat for 3 s")]
    assert it.at(20.0, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    assert it.at(21.0, ev.LeaveTimeElapsed()).done == ["Kill"]
    assert (it.unit.generation, it.unit.restarts) == (2, 1)
    it.at(21.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.leaving == ()
    assert it.causes == [("starting", "starting", "no heartbeat for 3 s (killed)")]


def test_a_hung_unit_that_must_be_alone_dies_before_its_successor_starts() -> None:
    it = life(overlap=False).up(0.0).at(20.0, ev.WentSilent(1, 3.0))
    assert it.unit.phase == ph.Stopping(20.0, "recover", "no heartbeat for 3 s")
    it.at(21.0, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.phase == ph.Waiting(21.0, "no heartbeat for 3 s")
    assert it.unit.history.attempt == 1


def test_a_unit_that_hangs_too_often_fails_like_one_that_crashes() -> None:
    it = life(max_restarts=0).up(0.0).at(20.0, ev.WentSilent(1, 3.0))
    assert it.unit.phase == ph.Failed("no heartbeat for 3 s", 45.0)
    assert it.at(21.0, ev.LeaveTimeElapsed()).done == ["Kill"]


def test_one_answer_ends_the_doubt() -> None:
    it = life().up(0.0).at(35.0, ev.ProbeFailed(1, "timed out")).at(36.0, ev.ProbePassed(1))
    assert isinstance(it.unit.phase, ph.Running)
    assert it.unit.phase.misses == 0
    assert it.armed == {"probe": 66.0}


def test_a_broken_edit_leaves_a_running_unit_as_it_is_and_a_mended_one_too() -> None:
    it = life().up(0.0)
    phase, spec = it.unit.phase, it.unit.spec
    assert spec is not None
    it.at(5.0, ev.SpecBroken("agent.toml:3:1: unknown key", "a/agent.toml"))
    assert (it.unit.phase, it.unit.config_error) == (phase, "agent.toml:3:1: unknown key")
    assert it.causes == [("running", "running", "agent.toml:3:1: unknown key")]
    it.at(6.0, ev.SpecAccepted(spec))
    assert (it.unit.phase, it.unit.config_error) == (phase, None)


def test_a_removed_folder_ends_its_unit_unless_it_comes_back_in_time() -> None:
    it = life().up(0.0).at(5.0, ev.Removed())
    assert it.done == ["ReleaseSocket", "Terminate"]
    assert it.unit.spec is not None
    back = Life(it.unit).at(5.5, ev.SpecAccepted(it.unit.spec)).at(6.0, ev.Exited(1, code=0))
    assert isinstance(back.unit.phase, ph.Waiting)
    assert it.at(6.0, ev.Exited(1, code=0)).done == ["Forget"]


def test_a_stopped_units_folder_that_comes_back_stays_stopped() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked()).at(5.1, ev.Removed())
    assert it.unit.spec is not None
    it.at(5.2, ev.SpecAccepted(it.unit.spec)).at(6.0, ev.Exited(1, code=0))
    assert isinstance(it.unit.phase, ph.Stopped)


def test_leaving_a_phase_disarms_its_timers() -> None:
    it = life().up(0.0)
    disarmed = [e.timer for e in it.effects if isinstance(e, do.Disarm)]
    assert disarmed == ["start", "slot"]
