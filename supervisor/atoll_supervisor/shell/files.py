"""Files of the daemon that must survive a crash or keep a secret."""

import os
import secrets
from pathlib import Path


def write_beside(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """A new, synced file next to `path`, to be renamed over it, whatever the umask is.

    Write, fsync; the caller renames and syncs the directory (rename(2),
    fsync(2)). Raises OSError, leaving nothing.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, mode)
    try:
        os.fchmod(fd, mode)
        _write_all(fd, data)
        os.fsync(fd)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return fresh


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
