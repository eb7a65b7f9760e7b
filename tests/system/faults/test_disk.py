"""Disks that are full, that fail, that spoil what they hold: rows 19 to 22."""

import os
import random
import re
import resource
import shutil
import signal
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from atoll_supervisor.shell.journal import Journal
from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.disk import OnDisk, small_disk
from tests.fakes.holds import state_file_is_true, watching
from tests.fakes.strace import STRACE, failing

EXHAUSTIVE = bool(os.environ.get("ATOLL_EXHAUSTIVE"))
NAMESPACES = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")),
    reason="a disk of its own needs root, and unshare and nsenter of the package util-linux",
)
COUNTING = """
import os, threading, time
def count():
    number = 0
    while True:
        number += 1
        os.write(1, b"line %08d is whole\\n" % number)
        if number % 50 == 0:
            with open({progress!r}, "w") as file:
                file.write(str(number))
            time.sleep(0.02)
threading.Thread(target=count, daemon=True).start()
"""


@NAMESPACES
def test_row_19_a_full_disk_leaves_the_old_state_and_ends_no_supervision(tmp_path: Path) -> None:
    with small_disk() as disk:
        daemon = OnDisk(tmp_path, disk)
        for name in ("Stopped", "Killed", "Other"):
            add_agent(daemon.agents, name)
        with running(daemon), watching(daemon, touched={"stopped", "killed"}) as watch:
            saved = (daemon.state / "fleet.toml").read_bytes()
            disk.fill()
            assert daemon.post("/api/v1/agents/stopped/stop").json()["status"] == "stopped"
            os.kill(daemon.units()["killed"], signal.SIGKILL)
            daemon.wait_for("killed", phase="running", restarts=1)
            assert (daemon.state / "fleet.toml").read_bytes() == saved
            eventually(lambda: _is_degraded(daemon, "fleet.toml: No space left on device"))
            assert "atoll.db cannot be used" in daemon.get("/health").json()["reason"]
            with watch.daemon_away():
                daemon.stop(signal.SIGKILL)
                daemon.start()
            assert (daemon.state / "fleet.toml").read_bytes() == saved
            daemon.post("/api/v1/agents/stopped/stop").raise_for_status()
            disk.free()
            eventually(lambda: _desired(daemon, "stopped") == "stopped")
            eventually(lambda: daemon.get("/health").json()["status"] == "healthy")
            assert "fleet.toml: No space left on device" in daemon.run("events").stdout
            assert not list(daemon.state.glob("*.tmp"))


@NAMESPACES
def test_a_first_start_on_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk() as disk:
        daemon = OnDisk(tmp_path, disk)
        disk.fill()
        with pytest.raises(AssertionError, match=r"No space left on device\n.*make room"):
            daemon.start()
        daemon.end()


def _is_degraded(daemon: Daemon, why: str) -> bool:
    health = daemon.get("/health").json()
    return (health["status"], health["ok"]) == ("degraded", False) and why in health["reason"]


def _desired(daemon: Daemon, slug: str) -> str:
    return str(_units(daemon)[slug]["desired"])


def _units(daemon: Daemon) -> dict[str, dict[str, object]]:
    units: dict[str, dict[str, object]] = tomllib.loads((daemon.state / "fleet.toml").read_text())[
        "units"
    ]
    return units


@NAMESPACES
def test_row_20_a_disk_that_takes_no_logs_drops_and_counts_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    progress = tmp_path / "progress"
    with small_disk() as disk:
        daemon = OnDisk(tmp_path, disk)
        add_agent(daemon.agents, "Other")
        manifest = add_agent(daemon.agents, "Noisy", '[tools]\npython = "tools.py"\n')
        (manifest.parent / "tools.py").write_text(COUNTING.format(progress=str(progress)))
        log = daemon.state / "logs" / "noisy.log"
        with running(daemon), watching(daemon):
            eventually(lambda: "line" in log.read_text())
            disk.fill()
            goal = _number(progress) + 3000
            eventually(lambda: _number(progress) > goal, why="its output was held up")
            disk.free()
            dropped = re.compile(r"err \[atoll\] (\d+) lines dropped: cannot write noisy.log: No")
            eventually(lambda: dropped.search(log.read_text()) is not None)
            goal = _number(progress)
            eventually(lambda: f"line {goal:08d}" in log.read_text())
        text = "".join(p.read_text() for p in sorted(log.parent.glob("noisy.log*"), reverse=True))
        numbers = [int(n) for n in re.findall(r"line (\d{8}) is whole", text)]
        gaps = sum(after - before - 1 for before, after in pairwise(numbers))
        counted = sum(int(number) for number in dropped.findall(text))
        assert counted == gaps, "each line is in the log, or counted"
        assert counted > 1000


def _number(path: Path) -> int:
    text = path.read_text()
    return int(text) if text else 0


STEPS_OF_A_SAVE = [("fsync", 2), ("rename", 2), ("link", 1), ("fchmod", 1), ("fdatasync", 2)]
"""What saving the state and committing events calls, and how often."""


@STRACE
@pytest.mark.timeout(120)
def test_row_21_a_write_sync_or_rename_that_fails_leaves_a_good_state_file(tmp_path: Path) -> None:
    calls = [(call, nth + 1) for call, most in STEPS_OF_A_SAVE for nth in range(most)]
    calls = calls * 2 if EXHAUSTIVE else calls
    trace = tmp_path / "strace"
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Toggled")
    add_agent(daemon.agents, "Other")
    with running(daemon), watching(daemon, touched={"toggled"}, handed_over={"toggled"}):
        for number, (call, nth) in enumerate(calls):
            verb, wanted = (("stop", "stopped"), ("start", "running"))[number % 2]
            error = ("EIO", "ENOSPC")[number // 2 % 2]
            with failing(_pid(daemon), trace, call, error, str(nth)):
                answer = daemon.post(f"/api/v1/agents/toggled/{verb}")
            assert answer.json()["status"] == wanted, (call, nth)
            assert set(_units(daemon)) == {"toggled", "other"}, (call, nth)
        _nothing_is_synced(daemon, trace)
        _no_file_is_written(daemon)
        _no_log_is_written(daemon, trace)
        assert not list(daemon.state.glob("*.tmp"))


def _nothing_is_synced(daemon: Daemon, trace: Path) -> None:
    daemon.post("/api/v1/agents/toggled/start").raise_for_status()
    eventually(lambda: _desired(daemon, "toggled") == "running")
    saved = (daemon.state / "fleet.toml").read_bytes()
    with failing(_pid(daemon), trace, "fsync", "EIO") as injected:
        daemon.post("/api/v1/agents/toggled/stop").raise_for_status()
        eventually(lambda: _is_degraded(daemon, "fleet.toml: Input/output error"))
        assert injected.count
        assert (daemon.state / "fleet.toml").read_bytes() == saved
    eventually(lambda: _desired(daemon, "toggled") == "stopped")
    eventually(lambda: _is_healthy(daemon))


def _no_file_is_written(daemon: Daemon) -> None:
    """write(2) itself; uvloop cannot live without those to its eventfd, so strace is no help."""
    saved = (daemon.state / "fleet.toml").read_bytes()
    before = resource.prlimit(_pid(daemon), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    daemon.post("/api/v1/agents/toggled/start").raise_for_status()
    eventually(lambda: _is_degraded(daemon, "fleet.toml: File too large"))
    assert (daemon.state / "fleet.toml").read_bytes() == saved
    resource.prlimit(_pid(daemon), resource.RLIMIT_FSIZE, before)
    eventually(lambda: _desired(daemon, "toggled") == "running")
    eventually(lambda: _is_healthy(daemon))


def _no_log_is_written(daemon: Daemon, trace: Path) -> None:
    log = daemon.state / "logs" / "toggled.log"
    with failing(daemon.keeper, trace, "write", "EIO") as injected:
        size = log.stat().st_size
        row = daemon.post("/api/v1/agents/toggled/restart").raise_for_status().json()
        assert daemon.chat(row["port"]) == "Hello from Toggled"
        eventually(lambda: injected.count > 0)
        assert log.stat().st_size == size
    eventually(lambda: "serves" in _said_after(daemon, log, size))
    assert "lines dropped: cannot write toggled.log: Input/output" in log.read_text()


def _said_after(daemon: Daemon, log: Path, size: int) -> str:
    """What is in the log by now, once the agent has been made to print something."""
    daemon.post("/api/v1/agents/toggled/restart").raise_for_status()
    return log.read_text()[size:]


def _is_healthy(daemon: Daemon) -> bool:
    return bool(daemon.get("/health").json()["status"] == "healthy")


def _pid(daemon: Daemon) -> int:
    assert daemon.process is not None
    return daemon.process.pid


@pytest.mark.timeout(600 if EXHAUSTIVE else 120)
def test_row_22_a_damaged_state_file_is_put_aside_and_never_made_empty(tmp_path: Path) -> None:
    seed = int(os.environ.get("ATOLL_SEED") or random.randrange(1 << 32))
    print(f"seed={seed}")
    dice = random.Random(seed)
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Zeta")
    with running(daemon):
        add_agent(daemon.agents, "Alpha")
        eventually(lambda: daemon.get("/api/v1/agents/alpha").is_success)
        ports = {slug: daemon.wait_for(slug, phase="running")["port"] for slug in ("zeta", "alpha")}
        assert ports == {"zeta": daemon.base_port, "alpha": daemon.base_port + 1}
        eventually(lambda: (daemon.state / "fleet.toml.1").exists() and len(_units(daemon)) == 2)
        good = (daemon.state / "fleet.toml").read_bytes()
        _every_damage_is_found(tmp_path / "alone", good, dice)
        with watching(daemon) as watch:
            for damaged in _sample(good, dice):
                with watch.daemon_away():
                    daemon.stop(signal.SIGKILL)
                    _damage(daemon, damaged, also_previous=dice.random() < 0.5)
                    daemon.start()
                state_file_is_true(daemon)
                assert {slug: daemon.row(slug)["port"] for slug in ports} == ports, seed
                assert damaged in (good, *_kept(daemon)), seed
        assert daemon.stop() == 0
        (daemon.state / "fleet.toml.1").write_bytes(good)
        _damage(daemon, good[: len(good) // 2], also_previous=False)
        daemon.start()
        assert {slug: daemon.row(slug)["port"] for slug in ports} == ports, "from the one before"
        assert "cannot be trusted" in daemon.run("events").stdout


def _every_damage_is_found(folder: Path, good: bytes, dice: random.Random) -> None:
    """At every offset: what is read then is the generation before, or means what was written."""
    folder.mkdir()
    journal = Journal(folder / "fleet.toml")
    cuts = [good[:offset] for offset in range(len(good))]
    bits = range(8) if EXHAUSTIVE else [dice.randrange(8)]
    flips = [
        good[:offset] + bytes([good[offset] ^ 1 << bit]) + good[offset + 1 :]
        for offset in range(len(good))
        for bit in bits
    ]
    journal.path.write_bytes(good)
    wanted = journal.load().record
    for damaged in (*cuts, *flips):
        journal.path.write_bytes(damaged)
        journal.previous.write_bytes(good)
        recovered = journal.load()
        assert recovered.record == wanted, damaged
        aside = folder / "fleet.toml.broken-1"
        assert aside.exists() == bool(recovered.warnings), damaged
        if recovered.warnings:
            assert aside.read_bytes() == damaged
            aside.unlink()


def _sample(good: bytes, dice: random.Random) -> Iterator[bytes | None]:
    """What the whole daemon is started over; None is a folder in the file's place."""
    offsets = range(len(good)) if EXHAUSTIVE else dice.sample(range(len(good)), 2)
    yield from (good[:offset] for offset in offsets)
    offset = dice.randrange(len(good))
    yield good[:offset] + bytes([good[offset] ^ 0x80]) + good[offset + 1 :]
    yield b""
    yield None
    yield good  # which nobody but root may read


def _damage(daemon: Daemon, data: bytes | None, *, also_previous: bool) -> None:
    names = ("fleet.toml", "fleet.toml.1") if also_previous else ("fleet.toml",)
    for path in (daemon.state / name for name in names):
        path.unlink(missing_ok=True)
        if data is None:
            path.mkdir()
        else:
            path.write_bytes(data)
            path.chmod(0o000 if data.count(b"port") == 2 else 0o600)


def _kept(daemon: Daemon) -> list[bytes | None]:
    return [p.read_bytes() if p.is_file() else None for p in daemon.state.glob("*.broken-*")]
