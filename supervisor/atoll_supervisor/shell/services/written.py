"""What a service leaves on the disk: its folder, and its log with those that were rotated."""

import shutil
from contextlib import suppress
from pathlib import Path


def remove_written(folder: Path, log: Path) -> None:
    """Remove both; what is not there, or cannot be removed, stays as it is."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in log.parent.glob(f"{log.name}*"):
        with suppress(OSError):
            file.unlink()
