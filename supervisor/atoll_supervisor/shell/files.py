"""Files of the daemon that must survive a crash or keep a secret."""

import os
import secrets
from pathlib import Path

from atoll.errors import ConfigError, Problem

_OTHERS = 0o077


def private_directory(path: Path) -> Path:
    """Make a directory and its missing parents for us alone (0700).

    An existing one is closed to others if it is ours; raises ConfigError when
    it, or the directory it stands in, belongs to somebody who could replace it.
    """
    for place in (*reversed(path.parents), path):
        _make(place)
    _check_owner(path.parent, {0, os.geteuid()})
    _check_owner(path, {os.geteuid()})
    if path.stat().st_mode & _OTHERS:
        path.chmod(0o700)
    return path


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


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        hint = "choose another place with --state-dir"
        message = f"cannot make this directory: {error.strerror}"
        raise ConfigError(Problem(file=str(path), message=message, hint=hint)) from error


def _check_owner(path: Path, owners: set[int]) -> None:
    owner = path.stat().st_uid
    if path.is_symlink() or owner not in owners:
        message = f"is not a directory of ours (its owner has uid {owner})"
        hint = "remove it, or choose another place with --state-dir"
        raise ConfigError(Problem(file=str(path), message=message, hint=hint))
