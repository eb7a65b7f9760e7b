"""What a real keeper remembers of units for the daemon after the one that told it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.packets import MAX_MEMO
from tests.fakes.keeper import FakeDaemon, KeeperProcess, wait_until


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    made = KeeperProcess(tmp_path)
    yield made
    made.end()


def memos(keeper: KeeperProcess) -> dict[str, str]:
    """What a daemon that comes now is told."""
    daemon = FakeDaemon(keeper)
    daemon.close()
    return {state.unit: state.memo for state in daemon.heard if isinstance(state, p.Remembered)}


def test_the_next_daemon_is_told_the_last_memo_of_each_unit(keeper: KeeperProcess) -> None:
    daemon = FakeDaemon(keeper)
    for unit, memo in (("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "")):
        daemon.send(p.Remember(unit, memo))
    daemon.close()
    assert memos(keeper) == {"a": "2", "c": "1"}
    assert memos(keeper) == {"a": "2", "c": "1"}, "as often as a daemon comes"


def test_a_memo_that_is_too_long_is_complained_of_and_the_last_one_kept(
    keeper: KeeperProcess,
) -> None:
    daemon = FakeDaemon(keeper)
    daemon.send(p.Remember("a", "good"))
    daemon.send(p.Remember("a", "m" * (MAX_MEMO + 1)))
    wait_until(lambda: f"longer than {MAX_MEMO} bytes" in keeper.log.read_text())
    daemon.close()
    assert memos(keeper) == {"a": "good"}
