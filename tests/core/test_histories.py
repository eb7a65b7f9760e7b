"""The life of one unit, replayed: at each time an event, and what is done about it."""

import pytest
from msgspec import Struct

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.machine import step
from atoll_supervisor.core.restarts import CLEAN, History
from atoll_supervisor.core.spec import Policy, Restart, UnitSpec


class Life(Struct):
    """One unit, replayed; remembers the effects of the last step."""

    unit: ph.Unit
    effects: tuple[do.Effect, ...] = ()

    def at(self, now: float, event: ev.Event) -> "Life":
        self.unit, self.effects = step(self.unit, event, now, 0.0)
        return self

    def up(self, now: float) -> "Life":
        """From waiting to running."""
        self.at(now, ev.Admitted())
        generation = self.unit.generation
        self.at(now, ev.Spawned(generation, 100 + generation))
        return self.at(now, ev.BecameReady(generation))

    @property
    def done(self) -> list[str]:
        """The names of the effects, journal and timers left out."""
        quiet = (do.Record, do.Arm, do.Disarm)
        return [type(e).__name__ for e in self.effects if not isinstance(e, quiet)]

    @property
    def causes(self) -> list[tuple[str, str, str]]:
        records = [e for e in self.effects if isinstance(e, do.Record)]
        return [(record.before, record.after, record.cause) for record in records]

    @property
    def armed(self) -> dict[str, float]:
        return {e.timer: e.at for e in self.effects if isinstance(e, do.Arm)}


def life(restart: Restart = "on-failure", max_restarts: int = 5) -> Life:
    policy = Policy(restart=restart, max_restarts=max_restarts, stop_timeout=30.0)
    spec = UnitSpec(slug="a", name="A", checksum="1", policy=policy)
    return Life(ph.Unit(slug="a")).at(0.0, ev.SpecAccepted(spec))


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


def test_what_the_process_said_last_is_the_reason_of_a_failed_start() -> None:
    it = life().at(0.0, ev.Admitted())
    it.at(1.0, ev.Exited(1, code=1, reason="NameError: name 'x' is not defined"))
    assert ph.reason_of(it.unit.phase) == "NameError: name 'x' is not defined"


def test_what_is_known_of_a_signal_stands_beside_it() -> None:
    it = life().up(0.0).at(1.0, ev.Exited(1, signal="SIGKILL", reason="out of memory"))
    assert ph.reason_of(it.unit.phase) == "killed by SIGKILL: out of memory"


def test_a_start_that_takes_too_long_is_killed_and_told_as_start_timeout() -> None:
    it = life().at(0.0, ev.Admitted()).at(0.1, ev.Spawned(1, 7)).at(60.0, ev.StartTimeElapsed(1))
    assert it.done == ["Kill"]
    it.at(60.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.ended is not None
    assert it.unit.ended.reason == "start-timeout (killed)"
    assert it.unit.history.attempt == 1


def test_a_stop_closes_the_socket_then_escalates_until_the_process_is_gone() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked())
    assert it.done == ["ReleaseSocket", "Terminate"]
    assert it.armed == {"stop": 35.0}
    assert it.at(35.0, ev.StopTimeElapsed(1)).done == ["Kill"]
    assert it.armed == {"stop": 40.0}
    assert it.at(40.0, ev.StopTimeElapsed(1)).done == ["Kill"]
    it.at(40.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.phase == ph.Stopped("stopped by an operator")
    assert it.unit.ended is not None
    assert it.unit.ended.reason == "stopped by an operator (killed)"
    assert not it.unit.wanted


def test_an_ordered_end_by_sigterm_is_clean() -> None:
    it = life().up(0.0).at(5.0, ev.StopAsked()).at(5.1, ev.Exited(1, signal="SIGTERM"))
    assert it.causes == [("stopping", "stopped", "stopped by an operator")]
    assert it.unit.history == CLEAN


def test_a_restart_holds_the_socket_throughout() -> None:
    it = life().up(0.0).at(5.0, ev.RestartAsked())
    assert it.done == ["Terminate"]
    assert it.at(6.0, ev.Exited(1, code=0)).done == []
    assert it.up(6.0).unit.restarts == 0


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
    it = life().at(0.0, ev.Admitted()).at(1.0, ev.StopAsked()).at(31.0, ev.StopTimeElapsed(1))
    assert it.done == []
    assert it.armed == {"stop": 36.0}


def test_a_hung_unit_is_asked_again_soon_then_replaced_and_charged_for_it() -> None:
    it = life().up(0.0).at(30.0, ev.ProbeTimeElapsed(1))
    assert it.done == ["Probe"]
    assert it.at(35.0, ev.ProbeFailed(1, "timed out")).armed == {"probe": 36.0}
    it.at(41.0, ev.ProbeFailed(1, "timed out"))
    it.at(47.0, ev.ProbeFailed(1, "timed out"))
    assert it.done == ["Terminate"]
    assert it.armed == {"stop": 48.0}
    assert it.causes == [("running", "stopping", "it does not answer: timed out")]
    it.at(48.1, ev.Exited(1, signal="SIGKILL"))
    assert it.unit.history.attempt == 1


def test_one_answer_ends_the_doubt() -> None:
    it = life().up(0.0).at(35.0, ev.ProbeFailed(1, "timed out")).at(36.0, ev.ProbePassed(1))
    assert it.unit.phase == ph.Running(101, 0.0)
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


def test_a_changed_manifest_restarts_a_running_unit_with_it() -> None:
    spec = UnitSpec(slug="a", name="B", checksum="2")
    it = life().up(0.0).at(5.0, ev.SpecAccepted(spec))
    assert it.done == ["Terminate"]
    it.at(6.0, ev.Exited(1, code=0)).up(6.0)
    assert (it.unit.generation, it.unit.spec) == (2, spec)


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
