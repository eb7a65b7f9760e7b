"""Output of real children and of pipes: kept, cut, counted, never in anybody's way."""

import os
import re
import resource
import threading
import time
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.eventloop import Loop
from atoll_supervisor.keeper.lines import CUT, MAX_LINE, LineCutter, Valve, readable
from atoll_supervisor.keeper.logfile import Limits, LogFile
from atoll_supervisor.keeper.pump import REMEMBERED, Pump
from tests.fakes.keeper import FakeDaemon, KeeperProcess, wait_until

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (out|err) .*")


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


def test_each_line_has_a_time_and_its_stream(daemon):
    """`2026-11-21T04:00:00.123Z out text`, in UTC, to the millisecond."""
    daemon.launch("unit", "--print", "hello", "--complain", "trouble", "--exit", "0")
    daemon.gone("unit")
    lines = (daemon.keeper.folder / "unit.log").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert sorted(line.split(" ", 1)[1] for line in lines) == ["err trouble", "out hello"]


def test_the_last_words_of_the_dead_are_heard(daemon):
    """What was printed just before the end is in the log when the end is told."""
    daemon.shell("unit", "echo last; printf 'no end of line' >&2; kill -ABRT $$")
    assert daemon.gone("unit").reason == "no end of line"
    assert sorted(daemon.lines("unit")) == ["last", "no end of line"]


def resident(pid):
    """Most KiB that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def test_a_flood_neither_blocks_the_child_nor_the_keeper(daemon):
    """200 MB at full speed: others are served, memory and file stay small (faults.md row 24)."""
    daemon.shell("before", "exit 0")
    daemon.gone("before")
    before = resident(daemon.keeper.pid)
    daemon.launch("unit", "--flood", "200000000", "--exit", "4")
    daemon.started("unit")
    others = 0
    while daemon.processes["unit", 1].stage != "gone":
        others += 1
        started = time.monotonic()
        daemon.shell("other", "exit 0", generation=others)
        daemon.gone("other", others)
        daemon.send(p.Forget("other", others))
        assert time.monotonic() - started < 2
    assert daemon.gone("unit").code == 4
    assert resident(daemon.keeper.pid) - before < 16 * 1024
    daemon.send(p.Forget("unit", 1))
    wait_until(lambda: sum(map(dropped, everything(daemon))) > 1_000_000)
    lines = everything(daemon)
    counted = sum(map(dropped, lines)) + sum(1 for line in lines if not dropped(line))
    assert counted == pytest.approx(2_000_000, rel=0.02)


def everything(daemon):
    """The lines of the live log and of the rotated ones."""
    paths = daemon.keeper.folder.glob("unit.log*")
    return [line.split(" ", 2)[2] for path in paths for line in path.read_text().splitlines()]


def dropped(line):
    return int(line.split()[1]) if line.startswith("[atoll] ") else 0


def test_a_line_without_end_is_cut(daemon):
    """5 MB without a newline become one line of 64 KiB and a marker (faults.md row 25)."""
    daemon.launch("unit", "--no-newline", "5000000", "--print", "first", "--exit", "0")
    daemon.gone("unit")
    first, second = daemon.lines("unit")
    assert first == "first"
    assert second.endswith(CUT.decode())
    assert len(second) == MAX_LINE + len(CUT)


def test_binary_stays_readable(daemon):
    """Bytes that are not UTF-8 are shown, control characters are kept (faults.md row 25)."""
    daemon.launch("unit", "--garbage", "--exit", "0")
    daemon.gone("unit")
    assert daemon.lines("unit") == ["caf\\xe9 \x00 \x1b[31m \\xff"]


def test_a_child_may_close_its_output(daemon):
    """Nothing waits for a stream that ended, and the child lives on (faults.md row 26)."""
    daemon.launch("unit", "--close-stdout")
    child = daemon.serving("unit")
    pipes = [path.name for path in Path(f"/proc/{daemon.keeper.pid}/fd").iterdir()]
    assert pipes
    daemon.send(p.Signal("unit", 1, "term"))
    gone = daemon.gone("unit")
    assert (gone.pid, gone.code) == (child.pid, 0)


def test_an_unwritable_log_does_not_disturb_the_unit(daemon):
    """The pipe is emptied although not a byte can be stored (faults.md row 20)."""
    full = daemon.keeper.folder / "unit.log"
    full.symlink_to("/dev/full")  # refused by O_NOFOLLOW: the same as no room
    daemon.launch("unit", "--flood", "5000000", "--exit", "6")
    assert daemon.gone("unit").code == 6


def turn(loop, true, limit=20):
    """Turn a loop in this process until something is true."""
    end = time.monotonic() + limit

    def look():
        if true() or time.monotonic() > end:
            loop.stop()
        else:
            loop.call_later(0.01, look)

    look()
    loop.run(lambda: None)
    assert true()


def make_loop():
    def complain(text):
        raise AssertionError(text)

    return Loop(complain)


def test_only_the_last_lines_of_standard_error_are_remembered(tmp_path):
    """Twenty, of each process its own."""
    loop = make_loop()
    pump = Pump(loop, tmp_path / "x.log")
    ends = [os.pipe() for _ in range(4)]
    one, two = (pump.attach(ends[n][0], ends[n + 1][0]) for n in (0, 2))
    os.write(ends[1][1], b"".join(b"e%d\n" % n for n in range(50)))
    os.write(ends[3][1], b"new\n")
    for _, writer in ends:
        os.close(writer)
    turn(loop, lambda: len(one.last_errors) == REMEMBERED and two.last_errors)
    assert one.last_errors == tuple(f"e{n}" for n in range(50 - REMEMBERED, 50))
    assert two.last_errors == ("new",)
    pump.close()
    loop.close()


def test_a_full_disk_drops_and_counts_every_line(tmp_path):
    """Row 20: what cannot be stored is gone, and known to be."""
    loop = make_loop()
    pump = Pump(loop, tmp_path / "full.log")
    (tmp_path / "full.log").symlink_to("/dev/full")
    (reader, writer), (other, other_writer) = os.pipe(), os.pipe()
    pump.attach(reader, other)

    def write():
        for _ in range(50):
            os.write(writer, (b"x" * 99 + b"\n") * 1000)
        os.close(writer)
        os.close(other_writer)

    thread = threading.Thread(target=write)
    thread.start()
    turn(loop, lambda: pump.file.dropped == 50_000)
    thread.join()
    pump.close()
    loop.close()


def test_files_are_rotated_and_the_oldest_goes(tmp_path):
    """`files` old ones are kept, none is larger than `file_size`, no line is lost or split."""
    file = LogFile(tmp_path / "x.log", Limits(file_size=1000, files=3))
    for number in range(100):
        file.write([b"%098d" % number])
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    text = "".join((tmp_path / name).read_text() for name in [*names[:0:-1], "x.log"])
    numbers = [int(line) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 30


def test_a_log_file_goes_on_after_a_restart(tmp_path):
    """A new daemon appends, and counts what is there already towards the size."""
    for _ in range(3):
        file = LogFile(tmp_path / "x.log", Limits(file_size=250, files=1))
        file.write([b"y" * 99])
        file.close()
    assert (tmp_path / "x.log").stat().st_size == 100
    assert (tmp_path / "x.log.1").stat().st_size == 200


def test_an_unwritable_log_drops_and_says_so_when_it_works_again(tmp_path, monkeypatch):
    """Row 20 of faults.md, with a directory that is not there yet as the fault."""
    monkeypatch.setattr("atoll_supervisor.keeper.logfile.RETRY", 0.0)
    path = tmp_path / "later" / "x.log"
    file = LogFile(path)
    file.write([b"one", b"two"])
    file.write([b"three"])
    assert file.dropped == 3
    path.parent.mkdir()
    file.write([b"four"])
    file.write([b"five"])
    file.close()
    marker, *rest = path.read_text().splitlines()
    assert "[atoll] 3 lines dropped: cannot write x.log: No such file or directory" in marker
    assert rest == ["four", "five"]


def test_a_torn_line_is_ended_before_the_next_one(tmp_path):
    """After a write that the disk cut short, the next line starts on a line of its own."""
    file = LogFile(tmp_path / "x.log")
    file.write([b"whole"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    file.write([b"torn-by-the-limit"])
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file._retry_at = 0.0
    file.write([b"next"])
    file.close()
    first, torn, marker, last = (tmp_path / "x.log").read_text().splitlines()
    assert (first, torn, last) == ("whole", "torn", "next")
    assert "1 lines dropped" in marker


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_do_not_depend_on_the_pieces(size):
    """However the bytes arrive, the same lines come out."""
    text = "one\n\nthree ü\r\nfour".encode()
    cutter = LineCutter()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    assert [*lines, *cutter.finish()] == text.split(b"\n")


def test_a_cut_never_splits_a_character():
    """The part that is kept is valid UTF-8 when the line was."""
    for shift in range(4):
        line = b"x" * shift + "😀".encode() * 20_000
        (cut,) = LineCutter().feed(line + b"\n")
        assert cut.endswith(CUT)
        assert readable(cut) is cut


def test_a_dropped_piece_takes_its_torn_lines_along():
    """Half a line before and after what was dropped is not mistaken for a line."""
    cutter = LineCutter()
    assert cutter.feed(b"a\nhalf") == [b"a"]
    cutter.skip(b" of it\nlost\nanother ha")
    assert cutter.feed(b"lf\nb\n") == [b"b"]
    cutter.skip(b"lost\n")
    assert cutter.feed(b"c\n") == [b"c"]


def test_the_valve_fills_again():
    """A burst passes, then `rate` bytes a second."""
    valve = Valve(rate=10, burst=100)
    assert valve.admits(100, 1.0)
    assert not valve.admits(1, 1.0)
    assert not valve.admits(11, 2.0)
    assert valve.admits(20, 3.0)
    assert not valve.admits(101, 1000.0)
