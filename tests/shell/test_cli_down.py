"""`atoll down` beside a lock whose file does not tell the truth."""

import fcntl
import os
from pathlib import Path

import pytest

from atoll.config.places import places_of
from tests.fakes.cli import atoll

pytestmark = pytest.mark.anyio

LIES = {
    "nothing": ("", "did not write down"),
    "another process": (
        f'{{"pid": {os.getpid()}, "start_time": 0, "api_port": 1, "state_dir": "/s"}}',
        f"not by the process {os.getpid()}",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_it_stops_nothing_and_says_so(tmp_path: Path, lie: str) -> None:
    content, words = LIES[lie]
    state = tmp_path / "state"
    lock = places_of({}, os.geteuid(), state).lock
    lock.parent.mkdir(mode=0o700, parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(content)
        held.flush()
        said = await atoll(tmp_path, "down")
    assert (said.code, said.out) == (1, "")
    assert words in said.err
    assert "nothing was stopped" in said.err
