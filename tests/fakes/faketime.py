"""A fleet whose clocks a test can set while it runs: libfaketime in all of its processes.

libfaketime(1) is preloaded by a Python of the fleet's own, so that it is in the keeper
and in every agent, which inherit no variable of ours; it reads the difference to the
real clock from a file, once a second.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
FAKETIME = pytest.mark.skipif(not LIBRARIES, reason="wants the package faketime")
# FORCE_MONOTONIC_FIX is for an old glibc; with a new one it makes a wait for the GIL a busy one.
PYTHON = """#!/bin/bash
export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_CACHE_DURATION=1
export FAKETIME_FORCE_MONOTONIC_FIX=0 DONT_FAKE_MONOTONIC={wall_only}
exec -a "$0" {python} "$@"
"""


class Shifted(Daemon):
    """A daemon whose fleet has clocks that `jump` sets."""

    def __init__(self, folder: Path, *, wall_only: bool) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self._file = folder / "clock"
        self.python = str(_environment(folder / "python", self._file, wall_only) / "bin/python")
        self.jump(0)

    def jump(self, seconds: float) -> None:
        """From now on the fleet's clocks differ from the machine's by so much."""
        fresh = self._file.with_name("clock.tmp")
        fresh.write_text(f"{seconds:+f}\n")
        fresh.replace(self._file)


def _environment(place: Path, file: Path, wall_only: bool) -> Path:
    """A virtual environment with the packages of ours, whose python preloads the library."""
    (place / "bin").mkdir(parents=True)
    own = Path(sys.prefix)
    shutil.copy(own / "pyvenv.cfg", place)
    (place / "lib").symlink_to(own / "lib")
    text = PYTHON.format(
        library=LIBRARIES[-1],
        file=file,
        wall_only=int(wall_only),
        python=os.path.realpath(sys.executable),
    )
    python = place / "bin" / "python"
    python.write_text(text)
    python.chmod(0o755)
    return place
