"""The states of a service, each rule of seeds-contract.md 5.3 and DESIGN section 11."""

import msgspec
import pytest
from msgspec.structs import replace

from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Invalid,
    Phase,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
)
from atoll_supervisor.core.phases import (
    Ended as Exit,
)
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.evidence import (
    Building,
    Ended,
    Evidence,
    Kept,
    Queued,
    Tick,
    Up,
)
from atoll_supervisor.core.services.local_unit import evidence_of
from atoll_supervisor.core.services.machine import SILENT, begun_again, cancelled, step
from atoll_supervisor.core.services.record import (
    FINAL,
    GAUGE,
    Record,
    Status,
    group_of,
    row_of,
    status_of,
)
from tests.fakes.records import ORDER, service

PATIENT = replace(ORDER, start_limit=60)


def record(status: Status = "pending", **more: object) -> Record:
    about = {"uuid": "u" * 32, "name": "vllm-ab12cd34", "recipe_name": "inference/vllm"}
    return service("ab12cd34", **{"order": PATIENT, "status": status, **about, **more})


def after(*seen: tuple[float, Evidence], begin: Record | None = None) -> tuple[Record, list[bool]]:
    one, stops = begin or record(), list[bool]()
    for now, evidence in seen:
        one, stop = step(one, evidence, now)
        stops.append(stop)
    return one, stops


ANSWERS, SILENCE = Up(answers=True, host="h", port=1), Up(answers=False, host="h", port=1)


def test_the_way_up_is_pending_building_starting_running() -> None:
    words: list[Status] = []
    one = record()
    for now, evidence in enumerate([Queued("Priority"), Building(), SILENCE, ANSWERS]):
        one, _ = step(one, evidence, now)
        words.append(one.status)
    assert words == ["pending", "building", "starting", "running"]


def test_a_server_that_stops_answering_goes_back_to_starting_with_a_reason() -> None:
    one, stops = after((0, ANSWERS), (1, SILENCE))
    assert (one.status, one.reason, stops) == ("starting", SILENT, [False, False])
    one, _ = after((0, ANSWERS), (1, SILENCE), (30, ANSWERS), (80, SILENCE), (100, Tick()))
    assert one.status == "starting"


def test_one_that_does_not_answer_within_its_start_limit_fails_and_is_ended() -> None:
    one, stops = after((0, SILENCE), (60, Tick()), (60.1, Tick()))
    assert one.status == "failed"
    assert "60 s" in one.reason
    assert stops == [False, False, True]


def test_waiting_in_a_queue_is_no_part_of_the_start_limit() -> None:
    one, _ = after((0, Queued("Resources")), (9000, Tick()), (9000, SILENCE), (9050, Tick()))
    assert one.status == "starting"


def test_a_job_that_is_queued_again_has_no_place_any_more() -> None:
    one, _ = after((0, Up(answers=True, node="n1", host="n1", port=4)), (5, Queued("BeginTime")))
    assert (one.status, one.node, one.url) == ("pending", "", None)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_nothing_happens_after_an_end(end: Status) -> None:
    over, _ = after((0, ANSWERS), (1, Ended(end, "why")))
    assert (over.status, over.reason) == (end, "why")
    assert over.ended_at
    for evidence in (Queued(), Building(), ANSWERS, SILENCE, Ended("failed"), Tick()):
        assert step(over, evidence, 9) == (over, False)
    assert cancelled(over, 9) is over


def test_after_an_end_only_slurms_own_word_for_the_job_goes_on() -> None:
    over = cancelled(replace(record("running"), state="RUNNING"), 5)
    later, stop = step(over, Kept("COMPLETING"), 6)
    assert (later.state, stop) == ("COMPLETING", False)
    assert replace(later, state="RUNNING") == over


def test_one_that_is_started_again_remembers_its_end_and_nothing_else() -> None:
    over, _ = after((0, ANSWERS), (1, Ended("failed", "exit code 1")))
    again = begun_again(over, "new")
    assert (again.status, again.last_end) == ("pending", "failed: exit code 1")
    was = record()
    fresh = replace(was, uuid="new", last_end=again.last_end, others=(was.uuid,))
    assert again == fresh
    one, _ = after((100, ANSWERS), begin=again)
    assert (one.status, one.last_end) == ("running", "failed: exit code 1")
    stopped = begun_again(cancelled(record("running"), 5), "new")
    assert stopped.last_end == "cancelled: stopped by a user"
    served = begun_again(replace(record("starting"), reason="exit code 1: boom"), "new")
    assert served.last_end == "started again by a user while starting: exit code 1: boom"


def test_nobody_is_sent_to_the_address_of_one_that_is_over() -> None:
    """Another server may be there by now."""
    up, _ = after((0, ANSWERS))
    assert up.url == "http://h:1"
    assert cancelled(up, 5).url is None


def test_a_transitional_word_keeps_what_was_last() -> None:
    one, _ = after((0, ANSWERS), (1, Kept("COMPLETING")))
    assert (one.status, one.state) == ("running", "COMPLETING")


def test_a_person_ends_it() -> None:
    one = cancelled(record("running"), 5)
    assert (one.status, one.reason) == ("cancelled", "stopped by a user")


def test_the_time_limit_of_a_local_service_holds_and_slurm_keeps_its_own() -> None:
    order = replace(PATIENT, resources=Resources(time_limit=1))
    local = replace(record(), order=order)
    one, stops = after((0, ANSWERS), (61, Tick()), begin=local)
    assert (one.status, stops[-1]) == ("failed", True)
    assert one.reason == "its time limit of 1 minute is over"
    longer = replace(local, order=replace(PATIENT, resources=Resources(time_limit=2)))
    one, _ = after((0, ANSWERS), (121, Tick()), begin=longer)
    assert one.reason == "its time limit of 2 minutes is over"
    one, _ = after((0, ANSWERS), (61, Tick()), begin=replace(local, engine="slurm"))
    assert one.status == "running"


UNIT = Unit(slug="service.ab")
RUNNING = Running(1, 99, 0.0)
FINISHED = Exit(0, None, "exit code 0", 1.0)
CRASHED = Exit(1, None, "exit code 1: boom", 1.0)


@pytest.mark.parametrize(
    ("phase", "ended", "status", "reason"),
    [
        (Waiting(0, "its manifest was read"), None, "pending", "its manifest was read"),
        (Waiting(0, "exit code 1"), CRASHED, "starting", "exit code 1"),
        (Starting(1, 0, 60), None, "starting", ""),
        (Starting(2, 0, 60), CRASHED, "starting", "exit code 1: boom"),
        (RUNNING, None, "running", ""),
        (replace(RUNNING, misses=1), None, "starting", SILENT),
        (Replacing(RUNNING, Starting(2, 0, 60)), None, "running", ""),
        (Backoff(9, "exit code 1: boom"), CRASHED, "starting", "exit code 1: boom"),
        (Stopping(0, "recover", "hung"), None, "starting", "hung"),
        (Stopping(0, "forget", "ended"), None, "pending", ""),
        (Stopped("finished with exit code 0"), FINISHED, "completed", "finished with exit code 0"),
        (Stopped("stopped by an operator"), None, "cancelled", "stopped by an operator"),
        (Failed("exit code 1: boom", None), CRASHED, "failed", "exit code 1: boom"),
        (Invalid("bad", "x"), None, "failed", "bad"),
        (Asleep(0, "idle"), None, "starting", "idle"),
    ],
)
def test_each_phase_of_a_unit_is_a_state_of_its_service(
    phase: Phase, ended: Exit | None, status: Status, reason: str
) -> None:
    one, _ = step(record(), evidence_of(replace(UNIT, phase=phase, ended=ended), 8123), 0)
    assert (one.status, one.reason) == (status, reason)


def test_a_group_is_as_good_as_its_best_replica() -> None:
    rows = (
        record("failed", id="a", group_id="sg-1", node="n1"),
        record("running", id="b", group_id="sg-1", node="n2"),
    )
    group = group_of(rows)
    assert (group.id, group.status, len(group.replicas)) == ("sg-1", "running", 2)
    assert group.name == "vllm-sg-1"
    assert status_of(group).node == "n2"


def test_every_status_has_a_gauge_and_three_are_final() -> None:
    assert set(GAUGE) > FINAL
    assert len(GAUGE) == 7


def test_a_record_survives_being_written_down() -> None:
    one = record("running", config={"environment": {"A": 1}})
    assert msgspec.json.decode(msgspec.json.encode(one), type=Record) == one
    assert row_of(one).job_id == one.id
