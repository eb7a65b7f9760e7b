"""Make-before-break: the old process serves until the new one is ready on the same socket."""

import pytest
from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.moves import MOST_LEAVING
from atoll_supervisor.core.spec import UnitSpec
from tests.fakes.life import Life, life, spec_of

NOTE = "the new process did not start: {}; the previous one goes on serving"


def replacing(event: ev.Event | None = None) -> Life:
    """Process 1 serves; process 2 was launched to take its place, and exists."""
    it = life().up(0.0).at(5.0, event or ev.RestartAsked())
    return it.at(5.0, ev.Admitted()).at(5.1, ev.Spawned(2, 102))


def edited(checksum: str = "2") -> ev.SpecAccepted:
    return ev.SpecAccepted(spec_of(checksum=checksum))


def test_a_restart_launches_the_new_process_beside_the_old_one() -> None:
    it = life().up(0.0).at(5.0, ev.RestartAsked())
    assert (it.done, ph.word_of(it.unit)) == ([], "running")
    it.at(6.0, ev.Admitted())
    assert it.done == ["HoldSocket", "Spawn"]
    assert it.armed == {"start": 66.0, "slot": 11.0}
    assert (ph.pid_of(it.unit), ph.generation_of(it.unit)) == (101, 1)


def test_the_old_process_drains_once_the_new_one_is_ready_and_the_socket_stays() -> None:
    it = replacing().at(6.0, ev.BecameReady(2))
    assert it.done == ["Terminate"]
    assert it.armed == {"leave": 36.0, "stable": 66.0, "probe": 36.0}
    why = "restarted by an operator: process 2 serves, process 1 drains"
    assert it.causes == [("running", "running", why)]
    assert (ph.pid_of(it.unit), it.unit.restarts) == (102, 0)
    it.at(7.0, ev.Exited(1, signal="SIGTERM"))
    assert it.causes == [("running", "running", "restarted by an operator")]
    assert it.unit.leaving == ()


def test_the_timers_of_the_old_process_end_with_its_service() -> None:
    it = replacing().at(6.0, ev.BecameReady(2))
    disarmed = {e.timer for e in it.effects if isinstance(e, do.Disarm)}
    assert disarmed == {"start", "slot", "stable", "probe", "idle"}


def test_a_record_of_a_handover_tells_the_new_process_and_how_often_it_restarted() -> None:
    it = replacing().at(6.0, ev.BecameReady(2))
    (record,) = (e for e in it.effects if isinstance(e, do.Record))
    assert (record.generation, record.pid, record.restarts, record.ended) == (2, 102, 0, None)
    it.at(7.0, ev.Exited(1, code=0))
    (record,) = (e for e in it.effects if isinstance(e, do.Record))
    assert record.ended == ph.Ended(0, None, "restarted by an operator", 7.0)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ev.Exited(2, code=1, reason="NameError: x"), "NameError: x"),
        (ev.Exited(2, code=0), "ended before it was ready: exit code 0"),
        (ev.StartTimeElapsed(2), "start-timeout"),
    ],
)
def test_a_new_process_that_fails_leaves_the_old_one_serving_and_says_why(
    event: ev.Event, reason: str
) -> None:
    it = replacing().at(20.0, event)
    assert isinstance(it.unit.phase, ph.Running)
    assert (it.unit.phase.generation, it.unit.phase.renew) == (1, "")
    assert ph.reason_of(it.unit.phase) == NOTE.format(reason)
    assert it.unit.config_error is None
    assert it.unit.restarts == 0
    assert it.at(21.0, ev.Admitted()).done == []


def test_a_launch_that_fails_leaves_the_old_one_serving() -> None:
    it = life().up(0.0).at(5.0, ev.RestartAsked()).at(5.0, ev.Admitted())
    it.at(5.1, ev.SpawnFailed(2, "no such file"))
    assert ph.reason_of(it.unit.phase) == NOTE.format("no such file")
    assert it.causes == [("running", "running", NOTE.format("no such file"))]


def test_a_changed_manifest_that_does_not_start_is_shown_as_its_mistake() -> None:
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1))
    note = NOTE.format("ended before it was ready: exit code 1")
    assert it.unit.config_error == note
    assert it.causes == [("running", "running", note)]


def test_the_complaint_ends_with_the_next_good_edit() -> None:
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1)).at(9.0, edited("3"))
    assert it.unit.config_error is None
    it.at(9.0, ev.Admitted())
    assert it.done == ["HoldSocket", "Spawn"]


def test_the_complaint_ends_with_a_restart_that_succeeds_and_not_before() -> None:
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1)).at(9.0, ev.RestartAsked())
    it.at(9.0, ev.Admitted()).at(9.1, ev.Spawned(3, 103))
    assert it.unit.config_error
    assert it.at(9.2, ev.BecameReady(3)).unit.config_error is None


def test_the_complaint_ends_with_the_process_that_served_in_spite_of_it() -> None:
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1)).at(9.0, ev.Exited(1, code=1))
    assert it.unit.config_error is None


def test_a_mistake_in_the_file_outlives_a_restart_that_succeeds() -> None:
    problem = "agent.toml:3:1: unknown key"
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1))
    it.at(7.0, ev.SpecBroken(problem, "a/agent.toml")).at(8.0, ev.RestartAsked())
    it.at(8.0, ev.Admitted()).at(8.1, ev.Spawned(3, 103)).at(8.2, ev.BecameReady(3))
    assert it.unit.config_error == problem


def test_a_mistake_in_the_file_is_not_hidden_by_a_restart_that_fails() -> None:
    problem = "agent.toml:3:1: unknown key"
    it = replacing(edited()).at(6.0, ev.Exited(2, code=1))
    it.at(7.0, ev.SpecBroken(problem, "a/agent.toml")).at(8.0, ev.RestartAsked())
    it.at(8.0, ev.Admitted()).at(8.1, ev.SpawnFailed(3, "no such file"))
    assert it.unit.config_error == problem
    assert ph.reason_of(it.unit.phase) == NOTE.format("no such file")


def test_an_old_process_that_ends_early_is_a_restart_and_the_new_one_goes_on() -> None:
    it = replacing().at(5.5, ev.Exited(1, signal="SIGKILL"))
    assert isinstance(it.unit.phase, ph.Starting)
    assert it.done == []
    assert it.causes == [("running", "starting", "killed by SIGKILL")]
    assert (it.unit.history.attempt, it.unit.restarts) == (1, 1)
    it.at(6.0, ev.BecameReady(2))
    assert ph.pid_of(it.unit) == 102


def test_an_old_process_that_hangs_meanwhile_serves_nobody_and_has_to_go() -> None:
    it = replacing().at(5.5, ev.WentSilent(1, 3.2))
    assert it.done == ["Terminate"]
    assert it.armed == {"leave": 6.5}
    assert isinstance(it.unit.phase, ph.Starting)
    assert it.unit.restarts == 1


def test_a_process_that_crashes_before_its_turn_to_be_replaced_is_replaced_at_once() -> None:
    it = life(max_restarts=0).up(0.0).at(5.0, ev.RestartAsked()).at(5.1, ev.Exited(1, code=1))
    assert it.unit.phase == ph.Waiting(5.1, "restarted by an operator")
    assert it.unit.history.attempt + it.unit.history.retries == 1


def test_a_hundred_restarts_at_once_are_one() -> None:
    it = life().up(0.0)
    for _ in range(100):
        it.at(5.0, ev.RestartAsked()).at(5.0, ev.Admitted())
    it.at(5.1, ev.Spawned(2, 102))
    for _ in range(100):
        it.at(5.2, ev.RestartAsked()).at(5.2, ev.Admitted())
    it.at(6.0, ev.BecameReady(2)).at(6.0, ev.Admitted())
    assert it.unit.generation == 2
    assert len(it.unit.leaving) == 1


def test_a_restart_for_a_new_runtime_replaces_even_what_is_being_started() -> None:
    anew = ev.RestartAsked("a new runtime", anew=True)
    it = replacing().at(5.2, anew)
    assert it.done == ["Kill"]
    assert it.at(5.2, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    assert it.unit.generation == 3
    started = life().at(0.0, ev.Admitted()).at(0.1, ev.Spawned(1, 7)).at(0.2, anew)
    assert started.done == ["Kill"]
    assert started.unit.phase == ph.Waiting(0.2, "a new runtime")


def test_an_edit_while_the_new_process_starts_replaces_that_one() -> None:
    it = replacing().at(5.5, edited())
    assert it.done == ["Kill"]
    assert isinstance(it.unit.phase, ph.Running)
    assert it.unit.phase.generation == 1
    it.at(5.5, ev.Admitted())
    assert (it.done, it.unit.generation) == (["HoldSocket", "Spawn"], 3)
    it.at(5.6, ev.Exited(2, signal="SIGKILL")).at(5.7, ev.Spawned(3, 103))
    it.at(6.0, ev.BecameReady(3))
    assert ph.pid_of(it.unit) == 103


def test_an_edit_while_the_first_process_starts_replaces_it() -> None:
    it = life().at(0.0, ev.Admitted()).at(0.1, ev.Spawned(1, 7)).at(0.5, edited())
    assert it.done == ["Kill"]
    assert it.unit.phase == ph.Waiting(0.5, "its manifest changed")
    assert it.unit.history.attempt == 0


def test_an_edit_that_is_taken_back_replaces_nothing() -> None:
    it = life().up(0.0).at(5.0, edited()).at(5.1, edited("1"))
    assert it.at(5.2, ev.Admitted()).done == []
    late = replacing(edited()).at(5.5, edited("1"))
    assert late.done == ["Kill"]
    assert late.at(5.6, ev.Admitted()).done == []


def test_an_edit_that_is_taken_back_does_not_take_an_operators_restart_along() -> None:
    it = life().up(0.0).at(5.0, ev.RestartAsked()).at(5.1, edited()).at(5.2, edited("1"))
    assert it.at(5.3, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    late = replacing().at(5.1, edited()).at(5.2, edited("1"))
    assert late.at(5.3, ev.Admitted()).done == ["HoldSocket", "Spawn"]


def test_a_restart_that_is_asked_for_after_an_edit_outlives_that_the_edit_is_taken_back() -> None:
    it = life().up(0.0).at(5.0, edited()).at(5.1, ev.RestartAsked()).at(5.2, edited("1"))
    assert it.at(5.3, ev.Admitted()).done == ["HoldSocket", "Spawn"]
    late = replacing(edited()).at(5.4, ev.RestartAsked()).at(5.5, edited("1"))
    assert late.at(5.6, ev.Admitted()).done == ["HoldSocket", "Spawn"]


@pytest.mark.parametrize("event", [ev.RestartAsked(), edited()])
def test_a_unit_that_must_be_alone_stops_before_it_starts_and_keeps_its_socket(
    event: ev.Event,
) -> None:
    spec = spec_of(checksum="2", overlap=False)
    if isinstance(event, ev.SpecAccepted):
        event = ev.SpecAccepted(spec)
    it = life(overlap=False).up(0.0).at(5.0, event)
    assert it.done == ["Terminate"]
    assert it.at(6.0, ev.Exited(1, code=0)).done == []
    assert it.up(6.0).unit.restarts == 0
    assert it.unit.generation == 2


def test_a_stop_ends_both_processes_and_the_socket() -> None:
    it = replacing().at(5.5, ev.StopAsked())
    assert it.done == ["ReleaseSocket", "Terminate", "Terminate"]
    it.at(6.0, ev.Exited(2, code=0))
    assert isinstance(it.unit.phase, ph.Stopping)
    it.at(6.1, ev.Exited(1, code=0))
    assert it.unit.phase == ph.Stopped("stopped by an operator")


def test_a_unit_that_finishes_while_another_of_its_processes_drains_stops_after_both() -> None:
    it = replacing().at(6.0, ev.BecameReady(2)).at(7.0, ev.Exited(2, code=0))
    assert it.unit.phase == ph.Stopping(7.0, "rest", "finished with exit code 0")
    it.at(8.0, ev.Exited(1, code=0))
    assert it.unit.phase == ph.Stopped("finished with exit code 0")


def test_restarts_do_not_pile_up_processes_that_will_not_go() -> None:
    it, now = life().up(0.0), 1.0
    for _ in range(10):
        it.at(now, ev.RestartAsked()).at(now, ev.Admitted())
        if (new := it.unit.generation) > ph.generation_of(it.unit):
            it.at(now, ev.Spawned(new, 100 + new)).at(now, ev.BecameReady(new))
        now += 0.1
    assert len(it.unit.leaving) == MOST_LEAVING
    it.at(now, ev.Exited(it.unit.leaving[0].generation, code=0))
    assert it.at(now, ev.Admitted()).done == ["HoldSocket", "Spawn"]


def test_each_process_that_leaves_has_its_own_time() -> None:
    it = replacing().at(6.0, ev.BecameReady(2))
    it.at(7.0, ev.RestartAsked()).at(7.0, ev.Admitted()).at(7.1, ev.Spawned(3, 103))
    it.at(8.0, ev.BecameReady(3))
    assert "leave" not in it.armed  # the first to be killed is still the first
    it.at(36.0, ev.LeaveTimeElapsed())
    assert [e.generation for e in it.effects if isinstance(e, do.Kill)] == [1]
    assert it.armed == {"leave": 38.0}


def test_a_good_manifest_ends_a_complaint_and_says_so() -> None:
    it = life().up(0.0).at(1.0, ev.SpecBroken("agent.toml:3:1: unknown key", "a/agent.toml"))
    assert it.unit.spec is not None
    it.at(2.0, ev.SpecAccepted(replace(it.unit.spec, name="B")))
    assert it.causes == [("running", "running", "its manifest is good again")]
    assert isinstance(it.unit.spec, UnitSpec)
