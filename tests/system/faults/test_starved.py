"""Rows 45 to 47 of the fault matrix: no processor, no memory, no network."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import rows_of, watching
from tests.fakes.keeper import is_dead

STRESS = pytest.mark.skipif(shutil.which("stress-ng") is None, reason="wants the package stress-ng")
STARVED_FOR = 60 if os.environ.get("ATOLL_EXHAUSTIVE") else 12
"""Seconds: agents count as silent after 3 s, and as hung after three probes 1 s apart."""
CROWD = 64
MEMORY = Path("/sys/fs/cgroup/memory")
SHORT_OF = 32 << 20
"""Bytes that are missing while there is no memory."""
PROBED = "[deployment]\nhealth_check_interval = 1\nmax_restarts = 1000\n"


@contextmanager
def stress(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """stress-ng(1) with these arguments while inside, in a group of its own."""
    worker = subprocess.Popen(
        ["stress-ng", "--quiet", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(20)


@STRESS
@pytest.mark.timeout(STARVED_FOR + 120)
def test_row_45_without_processor_time_nobody_is_taken_for_hung(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    for number in range(8):
        add_agent(daemon.agents, f"agent{number}", PROBED)
    with running(daemon), watching(daemon):
        until = time.monotonic() + STARVED_FOR
        with stress("--cpu", "8") as hogs:
            while time.monotonic() < until:
                assert hogs.poll() is None
                for row in rows_of(daemon).values():
                    assert daemon.chat(row["port"]) == f"Hello from {row['name']}"


def score(pid: int) -> int:
    """Who is to die first when memory runs out, the highest first (proc_pid_oom_score_adj(5))."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def protection() -> tuple[str, ...]:
    """What protects the supervisor as OOMScoreAdjust=-900 does in the units of systemd/.

    Nothing where nobody may do that (CAP_SYS_RESOURCE): agents are to go first all the same.
    """
    protects = ("choom", "-n", "-900", "--")
    try:
        done = subprocess.run([*protects, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return protects if done.returncode == 0 else ()


@contextmanager
def memory_group() -> Iterator[Path]:
    """A control group whose memory can be limited (cgroup-v1/memory.rst)."""
    group = MEMORY / f"atoll-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        usage(group)
    except OSError:
        pytest.skip("no control group of version 1 for memory can be made here")
    try:
        yield group
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), 10)
        group.rmdir()


def usage(group: Path) -> int:
    """Bytes, without the files' pages that are only kept because there is room."""
    fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(fields["total_rss"])


@contextmanager
def hog(*prefix: str) -> Iterator[None]:
    """A process that wants more memory than there is.

    Not one of stress-ng's: these offer themselves to the kernel first.
    """
    program = f"held = b'x' * {3 * SHORT_OF}; input()"
    command = [*prefix, sys.executable, "-S", "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.kill()
        process.communicate(timeout=20)


def ends(daemon: Daemon) -> list[object]:
    """How the last process of each agent ended, if one did."""
    return [row["last_exit"] for row in rows_of(daemon).values()]


@pytest.mark.timeout(300)
def test_row_46_without_memory_agents_die_first_and_the_supervisor_never(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, ports=CROWD + 20)
    slugs = [f"agent{number:02}" for number in range(CROWD)]
    for slug in slugs:
        add_agent(daemon.agents, slug, PROBED)
    with memory_group() as group:
        enter = ("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh")
        daemon.prefix = (*enter, *protection())
        with running(daemon), watching(daemon, touched=slugs):
            assert daemon.process is not None
            supervisor, agents = [daemon.process.pid, daemon.keeper], daemon.units().values()
            assert max(map(score, supervisor)) < min(map(score, agents))
            (group / "memory.limit_in_bytes").write_text(str(usage(group) + SHORT_OF))
            with hog(*enter):
                eventually(lambda: any(is_dead(pid) for pid in agents), 60)
            (group / "memory.limit_in_bytes").write_text("-1")
            assert [daemon.process.pid, daemon.keeper] == supervisor
            assert daemon.process.poll() is None
            eventually(lambda: any("SIGKILL" in str(why) for why in ends(daemon)))


def test_row_47_without_loopback_doctor_and_up_say_so_and_how_to_mend_it(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Lonely")
    daemon.prefix = ("unshare", "-r", "-n")
    said = daemon.run("doctor")
    if "unshare failed" in said.stderr:
        pytest.skip("this machine lets nobody make a network namespace")
    assert said.returncode == 1
    first = said.stdout.splitlines()[:2]
    assert first[0].startswith("FAULT  loopback: 127.0.0.1 cannot be reached")
    assert first[1].strip() == "bring it up: ip link set lo up"
    with running(daemon):
        assert "127.0.0.1 cannot be reached" in daemon.log.read_text()
        assert "bring it up: ip link set lo up" in daemon.log.read_text()
