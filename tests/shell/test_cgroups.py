"""Cages hold what they say, against real processes and this machine's own control groups."""

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll_supervisor.keeper import cgroups, ground
from atoll_supervisor.keeper.cgroups import Cage, make_cage
from atoll_supervisor.keeper.ground import Ground, Home, find_ground

MIB = 1 << 20
GROUND = find_ground(os.getpid())
WAIT = "import sys; sys.stdin.readline()\n"

HOG = WAIT + "held = bytearray(256 << 20); print('survived')"
BOMB = (
    WAIT
    + """
import os, time
born = 0
try:
    for _ in range(64):
        if os.fork() == 0:
            time.sleep(600)
        born += 1
except OSError as error:
    print(born, error.errno, flush=True)
time.sleep(600)
"""
)
SPIN = (
    WAIT
    + """
import time
end = time.monotonic() + 0.5
while time.monotonic() < end:
    pass
"""
)
ESCAPE = (
    WAIT
    + """
import os, resource, time
if os.fork() == 0:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1))
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""
)


def wants(controller: str) -> pytest.MarkDecorator:
    missing = controller not in GROUND.homes
    return pytest.mark.skipif(missing, reason=f"wants a {controller} control group: {GROUND.why}")


wants_kill = pytest.mark.skipif(
    GROUND.tree is None, reason=f"wants a cgroup v2 that can be written: {GROUND.why}"
)


class Caged:
    """A program in a cage, held at its start until it is in there."""

    def __init__(self, program: str, cage: Cage) -> None:
        self.cage = cage
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        cage.add(self.process.pid)
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> None:
        self.cage.kill()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process.communicate()


@pytest.fixture
def caged() -> Iterator[list[Caged]]:
    made: list[Caged] = []
    yield made
    for one in made:
        one.end()
        assert until_removed(one.cage)


def until_removed(cage: Cage) -> bool:
    """The killed are buried by others a moment later (the machine's first process)."""
    for _ in range(500):
        if cage.remove():
            return True
        signal.sigtimedwait([], 0.01)
    return False


def run(made: list[Caged], program: str, **limits: float) -> Caged:
    one = Caged(program, make_cage("unit", 1, limits))
    made.append(one)
    return one


def ended(pidfd: int) -> bool:
    """Whether it ends, buried or not, within the limit."""
    return bool(select.select([pidfd], [], [], 10)[0])


def v1_or_v2(cage: Cage, limit: str) -> bool:
    return cage.enforced[limit] == f"cgroup v{GROUND.homes[limit].version}"


@wants("memory")
def test_too_much_memory_is_a_kill_that_is_named(caged: list[Caged]) -> None:
    """faults.md row 12: the kernel's SIGKILL, and the cage knows why."""
    one = run(caged, HOG, memory=64 * MIB)
    assert v1_or_v2(one.cage, "memory")
    assert one.process.wait(20) == -signal.SIGKILL
    assert one.cage.was_oom()


@wants("memory")
def test_a_kill_within_the_limit_is_no_lack_of_memory(caged: list[Caged]) -> None:
    one = run(caged, ESCAPE, memory=64 * MIB)
    one.line()
    one.process.kill()
    assert one.process.wait(10) == -signal.SIGKILL
    assert not one.cage.was_oom()


@wants("memory")
def test_memory_within_the_limit_is_had(caged: list[Caged]) -> None:
    one = run(caged, HOG, memory=512 * MIB)
    assert one.line() == "survived\n"
    assert one.process.wait(20) == 0


@wants("pids")
def test_a_fork_bomb_stops_at_the_limit(caged: list[Caged]) -> None:
    """faults.md row 9: EAGAIN for it, and everybody else can still fork."""
    one = run(caged, BOMB, pids=8)
    assert v1_or_v2(one.cage, "pids")
    assert one.line() == "7 11\n"
    assert subprocess.run(["true"], check=False).returncode == 0


@wants("cpu")
def test_more_than_its_share_of_the_processor_is_throttled(caged: list[Caged]) -> None:
    one = run(caged, SPIN, cpu=0.2)
    assert v1_or_v2(one.cage, "cpu")
    assert one.process.wait(20) == 0
    stat = next(
        folder / "cpu.stat" for folder, names in one.cage._folders.items() if "cpu" in names
    )
    counts = dict(line.split() for line in stat.read_text().splitlines())
    assert int(counts["nr_throttled"]) > 0


@wants_kill
def test_one_kill_takes_a_grandchild_that_hid(caged: list[Caged]) -> None:
    """faults.md row 8: a session of its own, a double fork and no mark do not help it."""
    one = run(caged, ESCAPE, memory=512 * MIB)
    hidden = os.pidfd_open(int(one.line()))
    assert one.cage.kill()
    assert one.process.wait(10) == -signal.SIGKILL
    assert until_removed(one.cage), "a process is still in the cage"
    assert ended(hidden)
    os.close(hidden)


def test_a_unit_without_limits_has_no_cage_and_costs_nothing() -> None:
    cage = make_cage("unit", 1, {})
    cage.add(os.getpid())
    assert (cage.enforced, cage.kill(), cage.was_oom(), cage.remove()) == ({}, False, False, True)


def test_without_control_groups_memory_is_a_limit_of_the_process(
    caged: list[Caged], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what setrlimit(2) cannot mean is said not to be enforced."""
    monkeypatch.setattr(cgroups, "find_ground", lambda keeper: Ground(None, {}, "no room"))
    one = run(caged, HOG, memory=64 * MIB, pids=8, cpu=1)
    assert one.cage.enforced == {
        "memory": "rlimit",
        "pids": "not enforced: no room",
        "cpu": "not enforced: no room",
    }
    assert resource.prlimit(one.process.pid, resource.RLIMIT_DATA) == (64 * MIB, 64 * MIB)
    assert one.process.wait(20) == 1
    assert not one.cage.was_oom()


def test_a_limit_that_nobody_knows_is_said_to_be_none(caged: list[Caged]) -> None:
    one = run(caged, WAIT, gpus=2)
    assert one.cage.enforced == {"gpus": "not enforced: nothing known by that name"}


def test_a_process_that_is_gone_already_is_no_error(caged: list[Caged]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait(10)
    one = run(caged, WAIT, memory=64 * MIB)
    one.cage.add(gone.pid)
    assert "No such process" in one.cage.enforced["memory"]


def test_the_name_of_a_unit_cannot_leave_its_place() -> None:
    name = ground.cage_name(7, "../../etc/päth", 3)
    assert "/" not in name
    assert name.endswith(".7.______etc_p_th.3")


LEFT = """
import os, sys, time
from atoll_supervisor.keeper.cgroups import make_cage
cage = make_cage("left", 1, {"memory": 64 << 20, "pids": 9})
child = os.fork()
if child == 0:
    os.setsid()
    time.sleep(600)
cage.add(child)
print(child, flush=True)
"""


@wants_kill
def test_what_a_dead_keeper_left_is_cleared_by_the_next() -> None:
    """Its groups go, and so does what still ran in them."""
    one = subprocess.Popen([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, text=True)
    assert one.stdout is not None
    orphan = os.pidfd_open(int(one.stdout.readline()))
    one.stdout.close()
    one.wait(10)
    names = [name for home in homes() for name in home.glob(f"atoll.*.{one.pid}.left.1")]
    assert len(names) == len(homes())
    find_again()
    assert ended(orphan)
    for _ in range(500):  # a group can go a moment after what was in it
        if not any(name.exists() for name in names):
            break
        signal.sigtimedwait([], 0.01)
        find_again()
    assert not any(name.exists() for name in names)
    os.close(orphan)


def homes() -> set[Path]:
    assert GROUND.tree is not None
    return {GROUND.tree.path} | {
        home.path for name, home in GROUND.homes.items() if name in ("memory", "pids")
    }


def find_again() -> None:
    """As the next keeper does."""
    code = "import os, atoll_supervisor.keeper.ground as g; g.find_ground(os.getpid())"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


class Fake:
    """The files of a cgroup v2 with controllers, which this machine may not have."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root / "service"
        self.group(self.own)

    def group(self, path: Path, procs: str = "", controllers: str = "cpu io memory pids") -> None:
        path.mkdir(exist_ok=True)
        (path / "cgroup.controllers").write_text(f"{controllers}\n")
        (path / "cgroup.type").write_text("domain\n")
        (path / "cgroup.procs").write_text(procs)
        (path / "cgroup.subtree_control").write_text("")


def test_controllers_are_asked_for_where_nobody_is(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    found = ground._second(fake.own)
    assert found[:2] == (Home(fake.own, 2), ("memory", "pids", "cpu"))


def test_a_group_that_others_use_is_not_divided(tmp_path: Path) -> None:
    """systemd puts the next daemon into it, which a divided group would refuse."""
    fake = Fake(tmp_path)
    fake.group(fake.own, f"{os.getpid()}\n1\n")
    home, granted, why = ground._second(fake.own)
    assert (home, granted) == (Home(fake.own, 2), ())
    assert "systemd/README.md" in why
    assert (fake.own / "cgroup.subtree_control").read_text() == ""
    assert not (fake.own / "atoll-keeper").exists()


def test_a_group_without_controllers_can_still_be_killed(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    fake.group(fake.own, controllers="hugetlb")
    assert ground._second(fake.own)[:2] == (Home(fake.own, 2), ())
