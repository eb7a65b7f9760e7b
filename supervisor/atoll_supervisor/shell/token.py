"""The management token: 256 random bits in a file that only its owner can read (attacks.md S48)."""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from atoll.adapters.private import private_directory
from atoll.errors import ConfigError, Problem
from atoll_supervisor.shell.files import sync_directory, write_beside

_MAX = 4096


def ensure_token(path: Path) -> str:
    """The token, made now if there is none; raises ConfigError like `read_token`."""
    private_directory(path.parent)
    if not os.path.lexists(path):
        try:
            _make_token(path)
        except OSError as error:
            hint = "make room there, or choose another --state-dir"
            raise _fault(path, f"cannot write the token: {error.strerror}", hint) from error
    return read_token(path)


def _make_token(path: Path) -> None:
    """Write a new one, unless another daemon was faster; raises OSError."""
    fresh = write_beside(path, secrets.token_urlsafe(32).encode() + b"\n")
    try:
        path.hardlink_to(fresh)  # never replaces what stands there, a planted symlink included
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    sync_directory(path.parent)


def read_token(path: Path) -> str:
    """Read the token; raises ConfigError when it is missing, empty, or not ours alone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "start the daemon with `atoll up`, which makes it"
        raise _fault(path, f"cannot read the token: {error.strerror}", hint) from error
    try:
        _check(path, os.fstat(fd))
        token = os.read(fd, _MAX).decode(errors="replace").strip()
    finally:
        os.close(fd)
    if not token:
        raise _fault(path, "the token is empty", "remove the file and restart the daemon")
    return token


def matches(token: str, presented: str) -> bool:
    """Compare in constant time, whatever the lengths are (attacks.md S26)."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (token, presented)]
    return hmac.compare_digest(*digests)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _fault(path, "the token is not a regular file", "remove it and restart the daemon")
    if status.st_uid not in (os.geteuid(), 0):
        raise _fault(path, f"the token belongs to uid {status.st_uid}", "remove it, or chown it")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        hint = f"chmod 600 {path}; or remove it: the next `atoll up` makes a new one"
        raise _fault(path, f"others may read or change the token (mode {mode:04o})", hint)


def _fault(path: Path, message: str, hint: str) -> ConfigError:
    return ConfigError(Problem(file=str(path), message=message, hint=hint))
