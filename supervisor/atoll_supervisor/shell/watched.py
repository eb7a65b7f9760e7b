"""Which folders below the agents directory are watched, and which changes in them matter."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

Identity = tuple[int, int]
Folders = Mapping[str, Identity]
"""Device and inode by path: a folder that was replaced is another one."""

NOISE = frozenset({"__pycache__", "node_modules", "venv"})
"""Folders that programs fill; hidden ones (`.venv`, `.git`) belong to them."""
SUFFIXES = frozenset({".toml", ".json", ".py", ".env", ".gguf"})
"""Of the files that a manifest is made of or can name."""
DEEPEST, MOST = 3, 32
"""Levels below an agent's folder, and folders of one agent: a data set is not watched."""


def folders_of(agents_dir: Path) -> Folders:
    """The directory itself, its agents' folders and their packages; raises OSError for the first.

    A link is followed only from the agents directory itself and to a place
    inside it, as `discover` does.
    """
    root = str(agents_dir)
    status = agents_dir.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is no directory", root)
    found = {root: (status.st_dev, status.st_ino)}
    inside = agents_dir.resolve()
    for entry in _scan(root):
        if entry.is_symlink() and not _leads_inside(entry, inside):
            continue
        if _is_folder(entry, follow=True):
            below = {entry.path: identity_of(Path(entry.path))}
            _descend(entry.path, DEEPEST, below)
            found.update((path, at) for path, at in below.items() if at)
    return found


def identity_of(path: Path) -> Identity | None:
    """Device and inode of what is there now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def concerns(agents_dir: Path, path: str) -> bool:
    """Whether a change there can change an agent; by the name, for most are gone by now.

    A name without a suffix may be, or have been, a folder.
    """
    if path == str(agents_dir):
        return True
    parts = Path(path).relative_to(agents_dir).parts
    name = Path(parts[-1])
    if name.name.startswith(".") or NOISE.intersection(parts):
        return False
    return name.suffix in SUFFIXES or not name.suffix or os.path.isdir(path)  # noqa: PTH112


def _descend(folder: str, levels: int, found: dict[str, Identity | None]) -> None:
    for entry in _scan(folder):
        if len(found) >= MOST:
            return
        if _is_folder(entry, follow=False):
            found[entry.path] = identity_of(Path(entry.path))
            if levels > 1:
                _descend(entry.path, levels - 1, found)


def _scan(folder: str) -> Iterator[os.DirEntry[str]]:
    """Its entries that are not hidden; of a virtual environment, or what we may not read, none."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return
    if all(entry.name != "pyvenv.cfg" for entry in found):
        yield from sorted(found, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        is_folder = entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False
    return is_folder and entry.name not in NOISE and os.access(entry.path, os.R_OK | os.X_OK)


def _leads_inside(entry: os.DirEntry[str], inside: Path) -> bool:
    try:
        return Path(entry.path).resolve(strict=True).is_relative_to(inside)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        return False
