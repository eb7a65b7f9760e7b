"""Heartbeat channels of real processes: who serves, who is busy, who has fallen silent."""

import os
import signal
import time
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.channel import Said, hear
from tests.fakes.keeper import FakeDaemon, KeeperProcess


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


def told(daemon, unit):
    return [s for s in daemon.heard if isinstance(s, p.Process) and s.unit == unit]


def quiet(daemon, seconds):
    """Hear what comes for a while, because it is that nothing may come."""
    end = time.monotonic() + seconds
    with pytest.raises(TimeoutError):
        daemon.until(lambda: time.monotonic() > end + 1, seconds)


def test_a_beat_brings_its_numbers(daemon):
    """Requests in flight, lag, last activity; the first beat says that silence counts."""
    daemon.launch("unit", "--say", "WATCHDOG=1,IN_FLIGHT=3,LAG_MS=50,ACTIVE=12.500")
    daemon.until(lambda: (seen := daemon.processes.get(("unit", 1))) and seen.channel)
    state = daemon.processes["unit", 1]
    assert (state.in_flight, state.lag_ms, state.active) == (3, 50, 12.5)
    assert state.stage == "serving"
    assert state.silent == 0


def test_equal_beats_are_not_told_again(daemon):
    """What did not change is no news."""
    daemon.launch("unit", "--beat", "0.1")
    daemon.until(lambda: (seen := daemon.processes.get(("unit", 1))) and seen.channel)
    before = len(told(daemon, "unit"))
    quiet(daemon, 2)
    assert len(told(daemon, "unit")) == before


def test_a_unit_that_never_beat_is_never_silent(daemon):
    """Only one that can beat can be missed."""
    daemon.launch("unit")
    daemon.serving("unit")
    quiet(daemon, 5)
    assert daemon.processes["unit", 1].silent == 0
    assert not daemon.processes["unit", 1].channel


def test_a_stopped_process_is_silent_until_it_goes_on(daemon):
    """Three seconds without a beat are told once, and that it beats again (faults.md row 5)."""
    daemon.launch("unit", "--beat", "0.2")
    daemon.until(lambda: (seen := daemon.processes.get(("unit", 1))) and seen.channel)
    pid = daemon.processes["unit", 1].pid
    started = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    daemon.until(lambda: daemon.processes["unit", 1].silent)
    assert time.monotonic() - started > 2.5
    assert daemon.processes["unit", 1].silent >= 3
    os.kill(pid, signal.SIGCONT)
    daemon.until(lambda: daemon.processes["unit", 1].silent == 0)


def test_a_keeper_that_was_stopped_calls_nobody_silent(daemon):
    """It gives everybody three seconds again (faults.md rows 15 and 18)."""
    hush = daemon.keeper.folder / "hush"
    daemon.launch("unit", "--beat", "0.2", "--hush", str(hush))
    daemon.until(lambda: (seen := daemon.processes.get(("unit", 1))) and seen.channel)
    os.kill(daemon.keeper.pid, signal.SIGSTOP)
    hush.touch()
    time.sleep(5)
    os.kill(daemon.keeper.pid, signal.SIGCONT)
    quiet(daemon, 2)
    assert daemon.processes["unit", 1].silent == 0
    daemon.until(lambda: daemon.processes["unit", 1].silent)


def test_draining_is_told(daemon):
    """And STOPPING=1 ends the counting of beats: its loop is about to end."""
    daemon.launch("unit", "--say", "WATCHDOG=1", "--say", "DRAINING=1")
    daemon.launch("last", "--say", "WATCHDOG=1", "--say", "STOPPING=1")
    for unit, beats in (("unit", True), ("last", False)):
        daemon.until(lambda u=unit: (seen := daemon.processes.get((u, 1))) and seen.draining)
        assert daemon.processes[unit, 1].channel is beats
    quiet(daemon, 4.5)
    assert daemon.processes["last", 1].silent == 0
    assert daemon.processes["unit", 1].silent


def test_the_end_of_the_channel_is_no_death(daemon):
    """The process lives on, and its silence means nothing any more."""
    daemon.launch("unit", "--say", "WATCHDOG=1", "--hang-up")
    daemon.serving("unit")
    daemon.until(lambda: not daemon.processes["unit", 1].channel)
    quiet(daemon, 4.5)
    assert daemon.processes["unit", 1].stage == "serving"
    assert daemon.processes["unit", 1].silent == 0


def test_a_unit_that_chatters_costs_the_keeper_little(daemon):
    """It is heard a few words at a time, and nobody else is late for it."""
    daemon.launch("unit", "--chatter")
    daemon.serving("unit")
    before = processor_time(daemon.keeper.pid)
    quiet(daemon, 3)
    assert processor_time(daemon.keeper.pid) - before < 0.6


def processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("datagram", "said"),
    [
        (b"READY=1\n", Said(ready=True)),
        (b"READY=1", Said(ready=True)),
        (b"READY=0\nSTATUS=READY=1", Said(status="READY=1")),
        (b"STATUS=\n", Said(status="")),
        (b"STATUS=" + b"x" * 3000, Said(status="x" * 500)),
        (
            b"WATCHDOG=1\nIN_FLIGHT=2\nLAG_MS=150\nACTIVE=4.250\n",
            Said(beat=True, in_flight=2, lag_ms=150, active=4.25),
        ),
        (b"WATCHDOG=1\nIN_FLIGHT=-2\nLAG_MS=x\nACTIVE=nan\n", Said(beat=True)),
        (b"WATCHDOG=1\nIN_FLIGHT=" + b"9" * 3000 + b"\nACTIVE=" + b"9" * 400, Said(beat=True)),
        (b"WATCHDOG=1\nACTIVE=.\n", Said(beat=True)),
        (b"WATCHDOG=1\nIN_FLIGHT=\xb2\n", Said(beat=True)),
        (b"DRAINING=1", Said(draining=True)),
        (b"STOPPING=1", Said(stopping=True)),
        (b"\x00\xff\n\n=\n", Said()),
        (b"", Said()),
    ],
)
def test_datagrams_are_read_as_sd_notify_spells_them(datagram, said):
    """KEY=VALUE lines; numbers that are none count as 0."""
    assert hear(datagram) == said
