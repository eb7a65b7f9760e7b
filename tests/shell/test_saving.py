"""The state file beside the loop: soon, in one go, and never lost by a disk that refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from atoll_supervisor.loop.saving import Saving
from atoll_supervisor.shell.journal import FleetRecord, Journal, UnitRecord
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio


class State:
    """What is to be kept, and what was told of it."""

    def __init__(self, folder: Path) -> None:
        self.units: dict[str, UnitRecord] = {}
        self.made = 0
        self.told: list[str] = []
        self.journal = Journal(folder / "fleet.toml")
        self.saving = Saving(self.journal, FleetRecord(), self.record, self.note)

    def record(self) -> FleetRecord:
        self.made += 1
        return FleetRecord(units=dict(self.units))

    def note(self, text: str, unit: str) -> None:
        self.told.append(text)

    def change(self, slug: str, port: int) -> None:
        self.units[slug] = UnitRecord(port=port)
        self.saving.mark()

    @property
    def kept(self) -> dict[str, UnitRecord]:
        return Journal(self.journal.path).load().record.units


@asynccontextmanager
async def going(state: State) -> AsyncIterator[None]:
    task = asyncio.create_task(state.saving.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_burst_of_changes_is_made_into_one_record_and_kept(tmp_path: Path) -> None:
    state = State(tmp_path)
    async with going(state):
        for number in range(100):
            state.change(f"a{number}", 9000 + number)
        await until(lambda: len(state.kept) == 100)
    assert state.made == 1


async def test_a_flush_returns_when_what_was_changed_is_in_the_file(tmp_path: Path) -> None:
    state = State(tmp_path)
    async with going(state):
        state.change("a", 9000)
        await state.saving.flush()
        assert state.kept == {"a": UnitRecord(port=9000)}
        state.change("b", 9001)
        await asyncio.gather(*(state.saving.flush() for _ in range(5)))
        assert set(state.kept) == {"a", "b"}
        async with asyncio.timeout(1):
            await state.saving.flush()  # nothing to wait for


async def test_a_flush_never_hangs_when_nothing_is_written_any_more(tmp_path: Path) -> None:
    state = State(tmp_path)
    async with going(state):
        state.change("a", 9000)
        waiting = asyncio.create_task(state.saving.flush())
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await waiting
        await state.saving.flush()
    state.saving.finish()
    assert set(state.kept) == {"a"}


async def test_a_disk_that_refuses_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    state = State(tmp_path / "missing")
    async with going(state):
        for number in range(3):
            state.change(f"a{number}", 9000 + number)
            await state.saving.flush()
        assert len(state.told) == 1
        assert "cannot write" in state.told[0]
        (tmp_path / "missing").mkdir()
        state.saving.mark()
        await state.saving.flush()
        assert state.told[1:] == ["the state is written again"]
        assert len(state.kept) == 3
