"""What is read off two states of a process, also when states between them were missed."""

import pytest

from atoll_supervisor.core import events as ev
from atoll_supervisor.keeper.protocol import Process
from atoll_supervisor.loop.news import news, taken_over, unheard

NEW = Process("a", 3)
STARTING = NEW._replace(stage="starting", pid=7)
SERVING = STARTING._replace(stage="serving", channel=True)
KILLED = SERVING._replace(stage="gone", signal="SIGKILL", reason="why")


def told(was: Process, now: Process, use: bool = False) -> list[ev.Event]:
    return list(news(was, now, use=use))


@pytest.mark.parametrize(
    ("was", "now", "events"),
    [
        (NEW, STARTING, [ev.Spawned(3, 7)]),
        (STARTING, SERVING, [ev.BecameReady(3)]),
        (SERVING, KILLED, [ev.Exited(3, None, "SIGKILL", "why")]),
        (NEW, SERVING, [ev.Spawned(3, 7), ev.BecameReady(3)]),
        (
            NEW,
            KILLED,
            [ev.Spawned(3, 7), ev.BecameReady(3), ev.Exited(3, None, "SIGKILL", "why")],
        ),
        (
            NEW,
            STARTING._replace(stage="gone", code=2),
            [ev.Spawned(3, 7), ev.Exited(3, 2, None, "")],
        ),
        (
            NEW,
            NEW._replace(stage="gone", reason="no such file"),
            [ev.SpawnFailed(3, "no such file")],
        ),
        (SERVING, SERVING, []),
    ],
)
def test_what_lies_between_is_told_in_the_order_of_a_life(
    was: Process, now: Process, events: list[ev.Event]
) -> None:
    assert told(was, now) == events


def test_silence_is_told_when_it_begins_and_when_it_begins_again() -> None:
    silent = SERVING._replace(silent=3.0)
    assert told(SERVING, silent) == [ev.WentSilent(3, 3.0)]
    assert told(silent, silent._replace(silent=9.0)) == []
    assert told(silent, SERVING) == []
    assert told(SERVING, silent) == [ev.WentSilent(3, 3.0)]


def test_use_is_told_only_where_it_is_asked_for_and_has_changed() -> None:
    busy = SERVING._replace(active=5.0, in_flight=2)
    assert told(SERVING, busy) == []
    assert told(SERVING, busy, use=True) == [ev.WasUsed(3, 5.0, busy=True)]
    assert told(busy, busy._replace(in_flight=1, lag_ms=9), use=True) == []
    assert told(busy, busy._replace(in_flight=0), use=True) == [ev.WasUsed(3, 5.0, busy=False)]


def test_of_a_process_that_is_taken_over_only_its_end_and_its_silence_are_news() -> None:
    for state in (NEW, STARTING, SERVING, SERVING._replace(active=5.0, in_flight=1)):
        assert told(taken_over(state), state, use=True) == []
    silent = SERVING._replace(silent=4.0)
    assert told(taken_over(silent), silent) == [ev.WentSilent(3, 4.0)]
    assert told(taken_over(KILLED), KILLED) == [ev.Exited(3, None, "SIGKILL", "why")]
    unborn = NEW._replace(stage="gone", reason="gone wrong")
    assert told(taken_over(unborn), unborn) == [ev.SpawnFailed(3, "gone wrong")]
    assert unheard(KILLED) == NEW
