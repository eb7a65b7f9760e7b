"""Folders that nobody else may look into or put sockets in."""

import os
import stat
from pathlib import Path

from atoll.errors import ConfigError, Problem


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700, or make sure that it is ours alone; raises ConfigError.

    A runtime directory may lie in /tmp, where another user can put a folder or
    a link of the same name first: a socket in there would be theirs.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, above = folder.lstat(), folder.parent.lstat()
    except OSError as error:
        raise _refused(folder, f"cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(folder, "is not a folder")
    if found.st_uid != os.geteuid() or above.st_uid not in (0, os.geteuid()):
        raise _refused(folder, "belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def _refused(folder: Path, why: str) -> ConfigError:
    hint = "choose another place with --state-dir or RUNTIME_DIRECTORY"
    return ConfigError(Problem(file=str(folder), message=why, hint=hint))
