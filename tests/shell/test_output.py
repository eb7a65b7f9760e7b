"""Output of real children and of pipes: kept, cut, counted, never in anybody's way."""

import asyncio
import os
import re
import resource
import time

import pytest

from atoll_supervisor.shell.lines import CUT, MAX_LINE, LineCutter, Valve, readable
from atoll_supervisor.shell.logfile import Limits, LogFile
from atoll_supervisor.shell.output import REMEMBERED, Pump
from atoll_supervisor.shell.spawn import Launcher
from tests.fakes.launching import Unit, open_fds, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """Both loops: the tests run on one, the daemon on the other."""
    return "asyncio", {"use_uvloop": request.param}


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (out|err) .*")


@pytest.fixture
async def unit(tmp_path):
    made = Unit(tmp_path, Launcher())
    yield made
    await made.end()


async def test_each_line_has_a_time_and_its_stream(unit):
    """`2026-11-21T04:00:00.123Z out text`, in UTC, to the millisecond."""
    unit.start("--print", "hello", "--complain", "trouble", "--exit", "0")
    await unit.exited()
    lines = unit.pump.file.path.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert sorted(line.split(" ", 1)[1] for line in lines) == ["err trouble", "out hello"]


async def test_the_last_words_of_the_dead_are_heard(unit):
    """What was printed just before the end is in the log when the exit is reported."""
    unit.run("/bin/sh", "-c", "echo last; printf 'no end of line' >&2; kill -9 $$")
    assert (await unit.exited()).signal == "SIGKILL"
    assert unit.pump.last_errors == ("no end of line",)
    await until(lambda: sorted(unit.log()) == ["last", "no end of line"])


async def test_only_the_last_lines_of_standard_error_are_remembered(unit):
    """Twenty, of the youngest process."""
    unit.run("/bin/sh", "-c", "i=0; while [ $i -lt 50 ]; do echo e$i >&2; i=$((i+1)); done")
    await unit.exited()
    assert unit.pump.last_errors == tuple(f"e{n}" for n in range(50 - REMEMBERED, 50))
    unit.run("/bin/sh", "-c", "echo new >&2")
    await unit.exited()
    assert unit.pump.last_errors == ("new",)


async def test_a_flood_neither_blocks_the_child_nor_the_loop(unit):
    """200 MB at full speed: the child ends, the loop turns, memory and file stay small."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit.start("--flood", "200000000", "--exit", "4")
    exit_ = asyncio.ensure_future(unit.exited())
    worst = 0.0
    while not exit_.done():
        started = time.monotonic()
        await asyncio.sleep(0)
        worst = max(worst, time.monotonic() - started)
    assert (await exit_).code == 4
    assert worst < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    assert unit.pump.dropped > 1_000_000
    unit.pump.close()
    reports = [line for line in unit.log() if line.startswith("[atoll] ")]
    assert reports
    assert sum(int(line.split()[1]) for line in reports) == unit.pump.dropped


async def test_a_line_without_end_is_cut(unit):
    """10 MB without a newline become one line of 64 KiB and a marker (faults.md row 25)."""
    unit.start("--no-newline", "5000000", "--print", "first")
    await until(lambda: any(line.endswith(CUT.decode()) for line in unit.log()))
    assert unit.log()[0] == "first"
    assert [len(line) for line in unit.log()[1:]] == [MAX_LINE + len(CUT)]


async def test_binary_stays_readable(unit):
    """Bytes that are not UTF-8 are shown, control characters are kept (faults.md row 25)."""
    unit.start("--garbage", "--exit", "0")
    await unit.exited()
    assert unit.log() == ["caf\\xe9 \x00 \x1b[31m \\xff"]


async def test_a_child_may_close_its_output(unit):
    """Nothing waits for a stream that ended, and the child lives on (faults.md row 26)."""
    before = open_fds()
    child = unit.start("--close-stdout")
    await unit.ready()
    assert child.alive
    child.kill_tree()
    await unit.exited()
    assert len(open_fds() - before) <= 1  # the log file


async def test_files_are_rotated_and_the_oldest_goes(tmp_path):
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


async def test_a_log_file_goes_on_after_a_restart(tmp_path):
    """A new daemon appends, and counts what is there already towards the size."""
    for _ in range(3):
        file = LogFile(tmp_path / "x.log", Limits(file_size=250, files=1))
        file.write([b"y" * 99])
        file.close()
    assert (tmp_path / "x.log").stat().st_size == 100
    assert (tmp_path / "x.log.1").stat().st_size == 200


async def test_an_unwritable_log_drops_and_says_so_when_it_works_again(tmp_path, monkeypatch):
    """Row 20 of faults.md, with a directory that is not there yet as the fault."""
    monkeypatch.setattr("atoll_supervisor.shell.logfile.RETRY", 0.0)
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


async def test_a_full_disk_never_blocks_the_child(tmp_path):
    """The pipe is emptied although not a byte can be stored (faults.md row 20)."""
    pump = Pump(tmp_path / "full.log")
    (tmp_path / "full.log").symlink_to("/dev/full")  # refused by O_NOFOLLOW: the same as no room
    reader, writer = os.pipe()
    other, other_writer = os.pipe()
    pump.attach(reader, other)
    block = b"x" * 99 + b"\n"
    for _ in range(50):
        await asyncio.to_thread(os.write, writer, block * 1000)
    os.close(writer)
    os.close(other_writer)
    await until(lambda: pump.file.dropped == 50_000)
    pump.close()


async def test_a_torn_line_is_ended_before_the_next_one(tmp_path):
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
