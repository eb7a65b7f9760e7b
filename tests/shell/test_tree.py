"""Whatever a unit starts goes away with it: 3 kinds of grandchildren x 3 events."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll_supervisor.shell import proc, tree
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
    """The pids of all that carries the child's mark but itself, once there are `count`."""

    def found():
        return [pid for pid in proc.marked(child.instance) if pid != child.pid]

    await until(lambda: len([pid for pid in found() if "time.sleep" in command(pid)]) == count)
    return found()


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def stop(child):
    child.terminate()


def crash(child):
    child.send(signal.SIGKILL)


def shut_down(child):
    child.kill_tree()


@pytest.mark.parametrize("event", [stop, crash, shut_down])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_grandchild_outlives_its_unit(unit, kind, event):
    """Gone, not merely killed, by the time the exit is reported (supervision.md 3.6)."""
    child = unit.start("--leak-grandchild", kind)
    await unit.ready()
    pids = await grandchildren(child, 1)
    event(child)
    await unit.exited()
    assert [pid for pid in pids if not is_dead(pid)] == []
    assert proc.marked(child.instance) == []


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


async def test_kill_tree_finds_what_hides_without_a_mark(unit):
    """A descendant with an empty environment in its own session is found by descent."""
    child = unit.start("--bare-grandchild")
    await unit.ready()
    await until(lambda: any("sleep" in command(pid) for pid in proc.children_of(child.pid)))
    hidden = proc.children_of(child.pid)
    child.kill_tree()
    await unit.exited()
    await until(lambda: all(map(is_dead, hidden)))


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
    helper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    tree.kill_group(os.getpgrp())
    tree.kill_group(helper.pid)
    assert helper.poll() is None
    helper.kill()
    helper.wait(5)


def test_children_are_found_without_the_kernels_list():
    """The scan for kernels without CONFIG_PROC_CHILDREN finds the same."""
    helper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    assert helper.pid in proc._children_by_scan(os.getpid()) & proc.children_of(os.getpid())
    helper.kill()
    helper.wait(5)
