"""What one unit answers to any event in any phase, pinned in a table.

The table's lines are events, its columns phases; `scripts/diagram.py` says
what the cells mean and supplies the samples. Change it by hand, with the core.
"""

from typing import get_args

import pytest
from msgspec.structs import replace
from scripts import diagram

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.machine import step

COLUMNS = {
    "inv": "invalid",
    "stopd": "stopped",
    "unwan": "stopped, not wanted",
    "sleep": "asleep",
    "wait": "waiting",
    "nopid": "starting, no process yet",
    "start": "starting",
    "run": "running",
    "run1": "running, first end",
    "spent": "running, budget spent",
    "doubt": "running, two probes missed",
    "renew": "running, to be replaced",
    "idle": "running, idle",
    "alone": "running alone",
    "rnopid": "replacing, no process yet",
    "repl": "replacing",
    "old": "replacing, of the old",
    "leav": "running, of one that leaves",
    ">rest": "stopping to rest",
    ">start": "stopping to start",
    ">recov": "stopping to recover",
    ">sleep": "stopping to sleep",
    ">forgt": "stopping to be forgotten",
    ">nopid": "stopping, no process yet",
    "back": "backoff",
    "fail": "failed",
    "ever": "failed for good",
}
WORDS = {
    "wait": "waiting",
    "stopd": "stopped",
    "stopg": "stopping",
    "start": "starting",
    "run": "running",
    "back": "backoff",
    "fail": "failed",
    "sleep": "asleep",
    "repl": "replacing",
    ">sleep": "sleep",
    ">rest": "rest",
    ">start": "start",
    ">forgt": "forget",
}
TABLE = """
event                 inv   stopd unwan sleep wait  nopid start run   run1  spent doubt renew idle  alone rnopid repl  old   leav  >rest  >start >recov >sleep >forgt >nopid back  fail  ever
StartAsked            .     wait  wait  wait  =     =     =     =     .     =     =     =     =     =     =      =     =     =     >start =      >start >start =      >start wait  wait  wait
StopAsked             =     =     =     stopd stopd stopg stopg stopg stopg stopg stopg stopg stopg stopg stopg  stopg stopg stopg =      >rest  >rest  >rest  =      =      stopd stopd stopd
RestartAsked          .     wait  wait  wait  =     =     =     =     =     =     =     =     =     stopg =      =     =     =     >start =      >start >start =      >start wait  wait  wait
RestartAsked(anew)    .     wait  wait  wait  =     wait  wait  =     =     =     =     =     =     stopg run    run   run   =     >start =      >start >start =      >start wait  wait  wait
ClientWaits           .     .     .     wait  .     .     .     .     .     .     .     .     .     .     .      .     .     .     .      .      .      .      .      .      .     .     .
ShutDownBegun         .     =     =     stopd stopd stopg stopg stopg stopg stopg stopg stopg stopg stopg stopg  stopg stopg stopg =      >rest  >rest  >rest  .      =      stopd stopd stopd
SpecAccepted(changed) wait  wait  =     =     =     wait  wait  =     =     =     =     =     =     stopg run    run   run   =     =      =      >start =      >start =      wait  wait  wait
SpecAccepted(same)    wait  .     .     .     .     .     .     .     .     .     .     .     .     .     .      .     .     .     .      .      .      .      >start .      .     .     .
SpecBroken            =     =     =     =     =     =     =     =     =     =     =     =     =     =     =      =     =     =     =      =      =      =      >start =      =     =     =
Removed               stopd =     =     stopd stopd stopg stopg stopg stopg stopg stopg stopg stopg stopg stopg  stopg stopg stopg >forgt >forgt >forgt >forgt .      >forgt stopd stopd stopd
Admitted              .     .     .     .     start .     .     .     .     .     .     repl  .     .     .      .     .     .     .      .      .      .      .      .      .     .     .
Spawned               .     .     .     .     .     =     .     .     .     .     .     .     .     .     =      .     .     .     .      .      .      .      .      =      .     .     .
SpawnFailed           .     .     .     .     .     back  .     .     .     .     .     .     .     .     run    .     .     .     .      .      .      .      .      stopd  .     .     .
BecameReady           .     .     .     .     .     .     run   .     .     .     .     .     .     .     .      run   .     .     .      .      .      .      .      .      .     .     .
Exited(0)             .     .     .     .     .     back  back  stopd stopd stopd stopd wait  stopd stopd run    run   start =     stopd  wait   back   sleep  stopd  stopd  .     .     .
Exited(1)             .     .     .     .     .     back  back  back  wait  fail  back  wait  back  back  run    run   start =     stopd  wait   back   sleep  stopd  stopd  .     .     .
ProbePassed           .     .     .     .     .     .     .     =     =     =     =     =     =     =     .      .     =     .     .      .      .      .      .      .      .     .     .
ProbeFailed           .     .     .     .     .     .     .     =     =     =     back  =     =     =     .      .     =     .     .      .      .      .      .      .      .     .     .
ProbeTimeElapsed      .     .     .     .     .     .     .     =     =     =     =     =     =     =     .      .     =     .     .      .      .      .      .      .      .     .     .
WentSilent            .     .     .     .     .     .     .     back  wait  fail  back  wait  back  stopg .      .     start .     .      .      .      .      .      .      .     .     .
WasUsed               .     .     .     .     .     .     .     =     =     =     =     =     =     =     .      .     =     .     .      .      .      .      .      .      .     .     .
IdleTimeElapsed       .     .     .     .     .     .     .     .     .     .     .     .     stopg .     .      .     .     .     .      .      .      .      .      .      .     .     .
StabilityElapsed      .     .     .     .     .     .     .     =     .     =     =     =     =     =     .      .     =     .     .      .      .      .      .      .      .     .     .
StartTimeElapsed      .     .     .     .     .     back  back  .     .     .     .     .     .     .     run    run   .     .     .      .      .      .      .      .      .     .     .
SlotTimeElapsed       .     .     .     .     .     =     =     .     .     .     .     .     .     .     =      =     .     .     .      .      .      .      .      .      .     .     .
LeaveTimeElapsed      .     .     .     .     .     .     .     .     .     .     .     .     .     .     .      .     .     =     =      =      =      =      =      =      .     .     .
BackoffElapsed        .     .     .     .     .     .     .     .     .     .     .     .     .     .     .      .     .     .     .      .      .      .      .      .      wait  wait  .
"""  # noqa: E501  a table is read across
HEAD, *LINES = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_every_phase_answers_every_event_as_the_table_says(line: list[str]) -> None:
    label, *cells = line
    expected = dict(zip((COLUMNS[head] for head in HEAD[1:]), cells, strict=True))
    answers = {}
    for column, unit in diagram.UNITS.items():
        event = diagram.events_of(unit, diagram.asked_of(column))[label.replace("(", " (")]
        answers[column] = diagram.answer(unit, event)
    assert answers == {column: WORDS.get(cell, cell) for column, cell in expected.items()}


def test_the_table_has_every_event_and_every_phase() -> None:
    labels = {line[0].replace("(", " (") for line in LINES}
    every = diagram.events_of(diagram.UNITS["running"], 0)
    assert labels == every.keys()
    assert set(COLUMNS.values()) == diagram.UNITS.keys()
    events = {type(event) for event in every.values()}
    assert events == set(ev.Event.__args__)
    assert {type(unit.phase) for unit in diagram.UNITS.values()} == set(ph.Phase.__args__)


@pytest.mark.parametrize("column", COLUMNS.values())
def test_an_event_of_a_process_that_the_unit_has_no_more_is_ignored_in_every_phase(
    column: str,
) -> None:
    unit = diagram.UNITS[column]
    for event in diagram.events_of(unit, 1).values():
        if isinstance(event, ev.OfProcess):
            assert step(unit, event, 1000.0, 0.0) == (unit, ())


def test_a_pause_that_ended_late_is_not_taken_for_a_newer_one() -> None:
    unit = replace(diagram.UNITS["backoff"], generation=4)
    assert step(unit, ev.BackoffElapsed(3), 1000.0, 0.0) == (unit, ())


def test_the_page_of_phases_is_what_the_core_says() -> None:
    assert diagram.PAGE.read_text(encoding="utf-8") == diagram.page()


def test_every_timer_becomes_the_event_that_carries_its_name() -> None:
    names = {timer: type(ev.elapsed(timer, 3)).__name__ for timer in get_args(do.Timer)}
    assert names == {
        "start": "StartTimeElapsed",
        "slot": "SlotTimeElapsed",
        "stable": "StabilityElapsed",
        "probe": "ProbeTimeElapsed",
        "idle": "IdleTimeElapsed",
        "leave": "LeaveTimeElapsed",
        "backoff": "BackoffElapsed",
    }
    assert ev.elapsed("start", 3) == ev.StartTimeElapsed(3)
