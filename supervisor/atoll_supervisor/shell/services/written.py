"""What a service leaves on the disk: its folder, and its log with those that were rotated."""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def remove_written(folder: Path, log: Path) -> None:
    """Remove both; what is not there, or cannot be removed, stays as it is."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in log.parent.glob(f"{log.name}*"):
        with suppress(OSError):
            file.unlink()


def last_of(path: Path, most: int = 65_536) -> str:
    """The last `most` bytes of a file as text, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
