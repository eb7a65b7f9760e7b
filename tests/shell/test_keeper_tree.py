"""Whatever a unit starts goes away with it: 6 kinds of grandchildren x 4 events."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atoll_supervisor.keeper import proc, tree
from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.mark import family_of, mark_of, new_family, new_mark
from tests.fakes.keeper import (
    FakeDaemon,
    KeeperProcess,
    is_dead,
    marked,
    wait_until,
)

KINDS = ("plain", "setsid", "double")
NAP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture
def keeper(tmp_path):
    made = KeeperProcess(tmp_path)
    yield made
    made.end()


@pytest.fixture
def daemon(keeper):
    made = FakeDaemon(keeper)
    yield made
    made.close()


def grandchildren(child, count):
    """The sleepers that carry the child's mark, once there are `count`; not who only forked."""
    mark = mark_of(child.pid)

    def found():
        return [pid for pid in marked(mark) if "time.sleep" in command(pid)]

    wait_until(lambda: len(found()) == count)
    return found()


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def marking_nap(mark, **options):
    """A process that carries a mark, started by us."""
    take = f"from atoll_supervisor.keeper.mark import take_mark; take_mark({mark}); {NAP[-1]}"
    path = str(Path(tree.__file__).parents[2])
    return subprocess.Popen([sys.executable, "-c", take], env={"PYTHONPATH": path}, **options)


def stop(daemon, child):
    daemon.send(p.Signal(child.unit, 1, "term"))


def crash(daemon, child):
    os.kill(child.pid, signal.SIGKILL)


def shut_down(daemon, child):
    daemon.send(p.Signal(child.unit, 1, "kill"))


def fail(daemon, child):
    """A death that neither it nor we ordered."""
    os.kill(child.pid, signal.SIGUSR1)


@pytest.mark.parametrize("event", [stop, crash, shut_down, fail])
@pytest.mark.parametrize("more", [(), ("--clear",)], ids=["marked", "cleared"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_grandchild_outlives_its_unit(daemon, kind, more, event):
    """Gone, not merely killed, by the time the end is told (supervision.md 3.6)."""
    daemon.launch("unit", "--leak-grandchild", kind, *more)
    child = daemon.serving("unit")
    mark = mark_of(child.pid)
    pids = grandchildren(child, 1)
    event(daemon, child)
    daemon.gone("unit")
    assert [pid for pid in pids if not is_dead(pid)] == []
    assert marked(mark) == []


def test_a_unit_that_kills_itself_takes_all_kinds_along(daemon):
    """A crash that nobody ordered cleans up as well."""
    daemon.launch("unit", *(f"--leak-grandchild={kind}" for kind in KINDS), "--crash-after", "0.5")
    pids = grandchildren(daemon.serving("unit"), 3)
    assert daemon.gone("unit").signal == "SIGKILL"
    assert all(map(is_dead, pids))


def test_another_unit_is_left_alone(daemon):
    """The death of one unit touches nothing of its neighbour's, orphans included."""
    daemon.launch("one", "--leak-grandchild=double")
    daemon.launch("two", "--leak-grandchild=double")
    mine = grandchildren(daemon.serving("one"), 1)
    second = daemon.serving("two")
    others = grandchildren(second, 1)
    daemon.send(p.Signal("one", 1, "kill"))
    daemon.gone("one")
    assert all(map(is_dead, mine))
    assert not any(map(is_dead, [*others, second.pid]))
    daemon.send(p.Signal("two", 1, "kill"))
    daemon.gone("two")
    assert all(map(is_dead, others))


@pytest.mark.parametrize("status", ["3", "0"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_ends_by_itself_leaves_nothing(daemon, kind, status):
    """A program that exits right after it forked takes along what shed session and environment."""
    daemon.launch(
        "unit", "--leak-grandchild", kind, "--clear", "--slow-start", "0.2", "--exit", status
    )
    mark = mark_of(daemon.started("unit").pid)
    assert daemon.gone("unit").code == int(status)
    assert mark
    assert marked(mark) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_hidden_child_of_a_living_unit_survives(daemon, kind):
    """Neither a neighbour's end nor the tidying touches it, though nothing else ties it."""
    daemon.launch("one", "--leak-grandchild", kind, "--clear")
    daemon.launch("two", "--leak-grandchild", kind, "--clear")
    first, second = daemon.serving("one"), daemon.serving("two")
    others = grandchildren(second, 1)
    os.kill(first.pid, signal.SIGKILL)
    daemon.gone("one")
    time.sleep(1.5)  # nothing must happen, tidying included: there is no event to wait for
    assert not any(map(is_dead, [*others, second.pid]))


def test_the_grandchildren_of_a_killed_keeper_go_with_the_next_one(keeper, tmp_path):
    """They do not die with the keeper as units do, but its successor knows their marks."""
    daemon = FakeDaemon(keeper)
    daemon.launch("unit", *(f"--leak-grandchild={kind}" for kind in KINDS), "--clear")
    pids = grandchildren(daemon.serving("unit"), 3)
    keeper.process.kill()
    keeper.wait()
    daemon.close()
    assert not all(map(is_dead, pids))
    successor = KeeperProcess(tmp_path)
    try:
        FakeDaemon(successor).close()
        assert all(map(is_dead, pids))
        assert "3 processes that a keeper which was killed had left" in keeper.log.read_text()
    finally:
        successor.end()


def test_the_family_of_another_keeper_is_left_alone():
    """Neither its processes nor those without a mark."""
    mine, other = new_family(), new_family()
    processes = [marking_nap(new_mark(mine)), marking_nap(new_mark(other)), subprocess.Popen(NAP)]
    try:
        wait_until(lambda: family_of(mark_of(processes[0].pid)) == mine)
        assert tree.kill_family(mine) == 1
        assert processes[0].wait(10) == -signal.SIGKILL
        assert [process.poll() for process in processes[1:]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait(5)


def test_a_mark_tells_its_family_and_limits_nothing():
    """From 2**62 up, below the kernel's infinity, another for each launch."""
    family = new_family()
    marks = {new_mark(family) for _ in range(100)}
    assert len(marks) > 90
    assert all(1 << 62 <= mark < (1 << 63) - 1 for mark in marks)
    assert {family_of(mark) for mark in marks} == {family}
    assert family_of(mark_of(os.getpid())) == 0


def test_a_thousand_orphans_are_buried(daemon):
    """No zombie of a unit stays, and the unit's own status is not among them (faults.md row 10)."""
    daemon.launch("unit", "--zombies", "1000", "--exit", "9")
    assert daemon.gone("unit").code == 9
    wait_until(lambda: not proc.children_of(daemon.keeper.pid))


def test_our_own_group_is_never_killed():
    """Neither our own group nor that of a child that leads none (airflow PR 65738)."""
    helper = subprocess.Popen(NAP)
    tree.kill_group(os.getpgrp())
    tree.kill_group(helper.pid)
    assert helper.poll() is None
    helper.kill()
    helper.wait(5)


def test_children_are_found_without_the_kernels_list():
    """The scan for kernels without CONFIG_PROC_CHILDREN finds the same."""
    helper = subprocess.Popen(NAP)
    assert helper.pid in proc._children_by_scan(os.getpid()) & proc.children_of(os.getpid())
    helper.kill()
    helper.wait(5)
