"""The table of processes: what was told last of each, and which one speaks for its unit."""

from atoll_supervisor.keeper.protocol import Process
from atoll_supervisor.loop.news import unheard
from atoll_supervisor.loop.processes import Processes

STARTING = Process("a", 1, "starting", pid=11)


def test_what_is_told_replaces_what_was_known_and_an_end_removes_it() -> None:
    known = Processes()
    assert known.told(STARTING) == unheard(STARTING)
    serving = STARTING._replace(stage="serving")
    assert known.told(serving) == STARTING
    assert known.told(serving._replace(stage="gone")) == serving
    assert list(known) == []
    assert known.get("a", 1) is None


def test_a_launch_of_which_nothing_is_told_is_known_and_forgets_nothing() -> None:
    known = Processes()
    known.launched("a", 1)
    assert known.of("a") == (unheard(STARTING),)
    known.told(STARTING)
    known.launched("a", 1)
    assert known.of("a") == (STARTING,)


def test_one_that_lives_after_its_end_was_told_is_a_stray() -> None:
    known = Processes()
    known.told(STARTING)
    assert not known.is_stray(STARTING)
    known.told(STARTING._replace(stage="gone"))
    assert known.is_stray(STARTING)
    assert not known.is_stray(STARTING._replace(stage="gone"))


def test_what_is_missing_among_those_that_there_are_is_found() -> None:
    known = Processes()
    for unit, generation in (("a", 1), ("a", 2), ("b", 1)):
        known.told(Process(unit, generation, pid=5))
    assert known.without({("a", 2), ("c", 9)}) == {("a", 1), ("b", 1)}


def test_what_serves_speaks_for_its_unit_and_the_newest_of_those() -> None:
    known = Processes()
    assert known.watched("a") is None
    known.launched("a", 4)
    assert known.watched("a") is None, "it has no pid yet"
    known.told(Process("a", 3, "starting", pid=33))
    assert known.watched("a") == 33
    known.told(Process("a", 1, "serving", pid=11))
    assert known.watched("a") == 11
    known.told(Process("a", 2, "serving", pid=22))
    assert known.watched("a") == 22


def test_ends_may_be_told_while_all_are_walked() -> None:
    known = Processes()
    for generation in (1, 2, 3):
        known.told(Process("a", generation, pid=generation))
    for state in known:
        known.told(state._replace(stage="gone"))
    assert known.of("a") == ()
