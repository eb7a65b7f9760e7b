"""Whatever a unit starts goes away with it: 6 kinds of grandchildren x 4 events."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll_supervisor.shell import proc, tree
from atoll_supervisor.shell.mark import mark_of, marking, new_mark
from atoll_supervisor.shell.spawn import Launcher
from tests.fakes.launching import Unit, is_dead, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """Both loops: the tests run on one, the daemon on the other."""
    return "asyncio", {"use_uvloop": request.param}


KINDS = ("plain", "setsid", "double")


@pytest.fixture
async def unit(tmp_path):
    made = Unit(tmp_path, Launcher())
    yield made
    await made.end()


async def grandchildren(child, count):
    """The sleepers that carry the child's mark, once there are `count`; not who only forked."""

    def found():
        return [pid for pid in marked(child) if "time.sleep" in command(pid)]

    await until(lambda: len(found()) == count)
    return found()


def marked(child):
    """Every process on the machine that carries the child's mark, zombies included."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if mark_of(pid) == child.ties.mark]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def running(**options):
    """A helper of the daemon's own."""
    nap = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(nap, **options)


def stop(child):
    child.terminate()


def crash(child):
    child.send(signal.SIGKILL)


def shut_down(child):
    child.kill_tree()


def fail(child):
    """A death that neither it nor we ordered."""
    child.send(signal.SIGUSR1)


@pytest.mark.parametrize("event", [stop, crash, shut_down, fail])
@pytest.mark.parametrize("more", [(), ("--clear",)], ids=["marked", "cleared"])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_grandchild_outlives_its_unit(unit, kind, more, event):
    """Gone, not merely killed, by the time the exit is reported (supervision.md 3.6)."""
    child = unit.start("--leak-grandchild", kind, *more)
    await unit.ready()
    pids = await grandchildren(child, 1)
    event(child)
    await unit.exited()
    assert [pid for pid in pids if not is_dead(pid)] == []
    assert marked(child) == []


async def test_a_unit_that_kills_itself_takes_all_kinds_along(unit):
    """A crash that nobody ordered cleans up as well."""
    child = unit.start(*(f"--leak-grandchild={kind}" for kind in KINDS), "--crash-after", "0.3")
    await unit.ready()
    pids = await grandchildren(child, 3)
    assert (await unit.exited()).signal == "SIGKILL"
    assert all(map(is_dead, pids))


async def test_another_unit_is_left_alone(tmp_path):
    """The death of one unit touches nothing of its neighbour's, orphans included."""
    launcher = Launcher()
    one, two = Unit(tmp_path, launcher, "one"), Unit(tmp_path, launcher, "two")
    first, second = one.start("--leak-grandchild=double"), two.start("--leak-grandchild=double")
    await one.ready()
    await two.ready()
    mine, others = await grandchildren(first, 1), await grandchildren(second, 1)
    first.kill_tree()
    await one.exited()
    assert all(map(is_dead, mine))
    assert not any(map(is_dead, [*others, second.pid]))
    second.kill_tree()
    await two.exited()
    assert all(map(is_dead, others))
    one.pump.close()
    two.pump.close()


@pytest.mark.parametrize("status", ["3", "0"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_unit_that_ends_by_itself_leaves_nothing(unit, kind, status):
    """A program that exits right after it forked takes along what shed session and environment."""
    child = unit.start("--leak-grandchild", kind, "--clear", "--exit", status)
    assert (await unit.exited()).code == int(status)
    assert [pid for pid in marked(child) if not is_dead(pid)] == []


async def test_restarts_pile_nothing_up(unit):
    """Ten generations later there is nothing that an earlier one hid."""
    for _ in range(10):
        child = unit.start("--leak-grandchild=setsid", "--clear")
        await unit.ready()
        child.terminate()
        await unit.exited()
    assert tree.strays(()) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_hidden_child_of_a_living_unit_survives(tmp_path, kind):
    """Neither a neighbour's end nor the tidying touches it, though nothing else ties it."""
    launcher = Launcher()
    one, two = Unit(tmp_path, launcher, "one"), Unit(tmp_path, launcher, "two")
    options = ("--leak-grandchild", kind, "--clear")
    first, second = one.start(*options), two.start(*options)
    await one.ready()
    await two.ready()
    others = await grandchildren(second, 1)
    first.send(signal.SIGKILL)
    await one.exited()
    launcher.kill_unowned()
    launcher.reap_orphans()
    await asyncio.sleep(0.1)  # nothing must happen: there is no event to wait for
    assert not any(map(is_dead, [*others, second.pid]))
    await one.end()
    await two.end()


async def test_a_stray_of_a_dead_unit_is_tidied_away(unit):
    """What carries the mark of no living unit goes; what carries none is left alone."""
    with marking(new_mark()):
        lost = running(start_new_session=True)
    nobodys = running(start_new_session=True)
    assert unit.launcher.kill_unowned() == 1
    await until(lambda: is_dead(lost.pid))
    assert not is_dead(nobodys.pid)
    for process in (lost, nobodys):
        process.kill()
        process.wait(5)


async def test_a_marked_helper_of_the_daemon_is_no_stray(unit):
    """One that a thread happens to start during a launch stays in the daemon's session."""
    with marking(new_mark()):
        helper = running()
    assert unit.launcher.kill_unowned() == 0
    assert helper.poll() is None
    helper.kill()
    helper.wait(5)


def test_a_mark_is_ours_for_a_moment_only():
    """The daemon's own limit is as before, also after a launch that failed."""
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    mark = new_mark()
    with marking(mark):
        assert mark_of(os.getpid()) == mark
    with pytest.raises(FileNotFoundError), marking(mark):
        subprocess.run(["./no-such-program"], check=True)
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == before
    assert mark_of(os.getpid()) == 0


async def test_a_thousand_orphans_are_buried(unit):
    """No zombie of a unit stays, and the unit's own status is not among them (faults.md row 10)."""
    child = unit.start("--zombies", "1000", "--exit", "9")
    buried = 0
    async with asyncio.timeout(40):
        while child.alive:
            buried += unit.launcher.reap_orphans()
            await asyncio.sleep(0.02)
    assert (await unit.exited()).code == 9
    assert buried > 0
    await until(lambda: unit.launcher.reap_orphans() == 0 and not tree.strays(()))


async def test_helpers_of_the_daemon_are_no_strays(unit):
    """A process that the daemon itself runs is neither killed nor reaped."""
    helper = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    while not is_dead(helper.pid):
        await asyncio.sleep(0.01)
    assert unit.launcher.reap_orphans() == 0
    assert unit.launcher.kill_strays() == 0
    assert helper.wait(5) == 0


def test_our_own_group_is_never_killed():
    """Neither the daemon's group nor that of a child that leads none (airflow PR 65738)."""
    helper = running()
    tree.kill_group(os.getpgrp())
    tree.kill_group(helper.pid)
    assert helper.poll() is None
    helper.kill()
    helper.wait(5)


def test_children_are_found_without_the_kernels_list():
    """The scan for kernels without CONFIG_PROC_CHILDREN finds the same."""
    helper = running()
    assert helper.pid in proc._children_by_scan(os.getpid()) & proc.children_of(os.getpid())
    helper.kill()
    helper.wait(5)
