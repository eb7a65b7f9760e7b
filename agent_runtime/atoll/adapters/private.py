"""Directories that nobody else may put anything into."""

import os
import stat
from pathlib import Path

from atoll.errors import ConfigError, Problem

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def private_directory(path: Path) -> Path:
    """Make a directory and its missing parents for us alone (0700).

    An existing one is taken as it is, and never changed: raises ConfigError
    when it, or the directory it stands in, belongs to somebody who could
    replace it, or when others may write to it. Files in it that hold a secret
    are 0600 by themselves.
    """
    for place in (*reversed(path.parents), path):
        _make(place)
    _check_owner(path.parent, {0, os.geteuid()})
    _check_owner(path, {os.geteuid()})
    if mode := stat.S_IMODE(path.stat().st_mode) & _WRITABLE:
        message = f"others may write to this directory (mode {mode:04o} of it)"
        raise _fault(
            path, message, f"choose one of your own with --state-dir, or chmod go-w {path}"
        )
    return path


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        hint = "choose another place with --state-dir"
        raise _fault(path, f"cannot make this directory: {error.strerror}", hint) from error


def _check_owner(path: Path, owners: set[int]) -> None:
    """A symlink is followed when root or we made it, as systemd does for DynamicUser=."""
    hint = "remove it, or choose another place with --state-dir"
    if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise _fault(path, f"is a symlink of somebody else (uid {path.lstat().st_uid})", hint)
    if not path.is_dir():
        raise _fault(path, "is not a directory", hint)
    owner = path.stat().st_uid
    if owner not in owners:
        raise _fault(path, f"belongs to somebody else (uid {owner})", hint)


def _fault(path: Path, message: str, hint: str) -> ConfigError:
    return ConfigError(Problem(file=str(path), message=message, hint=hint))
