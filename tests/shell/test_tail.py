"""The last lines of a rotated log and what follows, while it is being written."""

import asyncio

import pytest

from atoll_supervisor.keeper.logfile import DEFAULT, Limits, LogFile
from atoll_supervisor.shell import tail as tail_module
from atoll_supervisor.shell.tail import follow as pieces
from atoll_supervisor.shell.tail import tail
from tests.fakes.waiting import LIMIT, open_fds

pytestmark = pytest.mark.anyio


def written(path, numbers, limits=DEFAULT):
    file = LogFile(path, limits)
    for number in numbers:
        file.write([b"line %d" % number])
    file.close()


@pytest.mark.parametrize("lines", [0, 1, 5, 99, 100, 1000])
def test_the_last_lines_come_in_order(tmp_path, lines):
    """As many as asked for, or all there are."""
    written(tmp_path / "x.log", range(100))
    expected = [f"line {n}" for n in range(100)]
    assert tail(tmp_path / "x.log", lines) == (expected[-lines:] if lines else [])


def test_older_files_are_used_as_needed(tmp_path):
    """Rotation is invisible to who asks for the last lines."""
    written(tmp_path / "x.log", range(100), Limits(file_size=100, files=20))
    assert len(list(tmp_path.iterdir())) > 5
    assert tail(tmp_path / "x.log", 60) == [f"line {n}" for n in range(40, 100)]


def test_long_lines_and_blocks(tmp_path):
    """Lines longer than a block are put together again."""
    (tmp_path / "x.log").write_text("".join(f"{n}{'x' * 70_000}\n" for n in range(5)))
    found = tail(tmp_path / "x.log", 3)
    assert [(line[0], len(line)) for line in found] == [(c, 70_001) for c in "234"]


def test_odd_files(tmp_path):
    """No file, an empty one, blank lines, no last line end, bytes that are no UTF-8."""
    path = tmp_path / "x.log"
    assert tail(path, 5) == []
    path.write_bytes(b"")
    assert tail(path, 5) == []
    path.write_bytes(b"\n")
    assert tail(path, 5) == [""]
    path.write_bytes(b"a\n\n\xff\r b\nc")
    assert tail(path, 5) == ["a", "", "\ufffd\r b", "c"]
    (tmp_path / "y.log.1").write_bytes(b"old\n")
    assert tail(tmp_path / "y.log", 5) == ["old"]


def test_one_question_reads_a_bounded_number_of_bytes_of_all_files_together(tmp_path, monkeypatch):
    """The newest lines are given, without a gap, whatever the number of files."""
    monkeypatch.setattr(tail_module, "BLOCK", 256)
    monkeypatch.setattr(tail_module, "MOST", 1024)
    written(tmp_path / "x.log", range(1000), Limits(file_size=500, files=50))
    found = tail(tmp_path / "x.log", 1000)
    assert found == [f"line {n}" for n in range(1000 - len(found), 1000)]
    assert 1024 - 256 < sum(len(line) + 1 for line in found) <= 1024 + 256


async def follow(*arguments):
    """The followed lines one by one."""
    blocks = pieces(*arguments)
    try:
        async for block in blocks:
            for line in block:
                yield line
    finally:
        await blocks.aclose()


async def test_following_ends_after_the_newest_line_when_it_is_time_to_leave(tmp_path):
    """What was written until then is still given."""
    path = tmp_path / "x.log"
    written(path, range(3))
    leaving = asyncio.Event()
    lines = follow(path, 1, leaving)
    assert await anext(lines) == "line 2"
    written(path, range(3, 5))
    leaving.set()
    async with asyncio.timeout(LIMIT):
        assert [line async for line in lines] == ["line 3", "line 4"]


async def collect(lines, amount):
    found = []
    async with asyncio.timeout(LIMIT):
        async for line in lines:
            found.append(line)
            if len(found) == amount:
                break
    await lines.aclose()
    return found


async def test_following_goes_on_over_rotations(tmp_path):
    """Every line once and in order, although the file is rotated all the time."""
    path = tmp_path / "x.log"
    limits = Limits(file_size=200, files=100)
    written(path, range(5), limits)
    before = open_fds()
    reading = asyncio.ensure_future(collect(follow(path, 2), 202))
    await asyncio.sleep(0)  # let it start where line 4 ends
    file = LogFile(path, limits)
    for number in range(5, 205):
        file.write([b"line %d" % number])
        await asyncio.sleep(0.001)
    file.close()
    assert await reading == [f"line {n}" for n in range(3, 205)]
    assert open_fds() <= before


async def test_following_waits_for_the_file(tmp_path):
    """A log that does not exist yet is followed from its first line."""
    path = tmp_path / "x.log"
    reading = asyncio.ensure_future(collect(follow(path, 10), 2))
    await asyncio.sleep(0.05)
    written(path, [1, 2])
    assert await reading == ["line 1", "line 2"]


async def test_following_survives_truncation(tmp_path):
    """After `truncate -s 0` the new lines come."""
    path = tmp_path / "x.log"
    written(path, range(50))
    lines = follow(path, 1)
    assert await anext(lines) == "line 49"
    next_line = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0.3)
    path.write_text("")
    await asyncio.sleep(0.5)
    written(path, [7])
    assert await asyncio.wait_for(next_line, LIMIT) == "line 7"
    await lines.aclose()


async def test_half_a_line_is_not_shown(tmp_path):
    """A line appears when it is complete."""
    path = tmp_path / "x.log"
    path.write_text("one\ntw")
    lines = follow(path, 5)
    assert await anext(lines) == "one"
    with path.open("a") as file:
        file.write("o\n")
    assert await asyncio.wait_for(anext(lines), LIMIT) == "two"
    await lines.aclose()


async def test_a_slow_reader_of_a_log_that_ran_away_goes_on_with_the_oldest_left(tmp_path):
    """It ends the file it holds, skips what rotation removed, and goes on in order."""
    path = tmp_path / "x.log"
    limits = Limits(file_size=100, files=2)
    written(path, range(3), limits)
    lines = follow(path, 1)
    assert await anext(lines) == "line 2"
    written(path, range(3, 500), limits)
    oldest = (tmp_path / "x.log.2").read_text().splitlines()
    found = await collect(lines, 15)
    gap = found.index(oldest[0])
    assert found[:gap] == [f"line {n}" for n in range(3, 3 + gap)]
    assert found[gap:] == oldest[: 15 - gap]
