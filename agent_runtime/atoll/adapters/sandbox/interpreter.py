"""Which Python the sandbox runs, and what of it has to be shown inside."""

import os
import stat
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

SYSTEM = tuple(Path(place) for place in ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/bin"))
"""Shown inside in any case: the libraries and programs of the distribution."""
_PACKAGES = ("site-packages", "dist-packages")


class Interpreter(Struct, frozen=True):
    """A Python: its program, the files outside of SYSTEM that it needs, folders to be emptied."""

    program: Path
    parts: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()


def find_interpreter(*, dropped: bool) -> Interpreter | None:
    """Our own Python if the sandbox's user can read it, else the system's, else None.

    `dropped` tells that the user will be nobody: then what only its owner can
    reach (a Python in root's home) cannot be shown.
    """
    own = _own()
    if all(_reachable(path, dropped=dropped) for path in (own.program, *own.parts)):
        return own
    system = Path("/usr/bin/python3").resolve()
    return Interpreter(system) if system.is_file() and system.parent in SYSTEM else None


def _own() -> Interpreter:
    base, version = Path(sys.base_prefix), sysconfig.get_python_version()
    program = base / "bin" / f"python{version}"
    of_base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}  # not the venv's
    places = (sysconfig.get_path(name, vars=of_base) for name in ("stdlib", "platstdlib"))
    folders = {Path(place) for place in places}
    libraries = base.glob(f"lib*/libpython{version}*.so*")
    parts = {program, *folders, *libraries}
    outside = tuple(sorted(part for part in parts if not _shown(part)))
    hidden = tuple(
        place
        for folder in sorted(folders & set(outside))
        for name in _PACKAGES
        if (place := folder / name).is_dir()
    )
    return Interpreter(program, outside, hidden)


def _shown(path: Path) -> bool:
    return any(place in path.parents for place in SYSTEM)


def _reachable(path: Path, *, dropped: bool) -> bool:
    if not dropped:
        return os.access(path, os.R_OK)
    try:
        modes = list(_modes(path))
    except OSError:
        return False
    return all(modes)


def _modes(path: Path) -> Iterator[bool]:
    """Whether everybody may pass each folder above, and read the thing itself."""
    real = path.resolve(strict=True)
    yield bool(real.stat().st_mode & stat.S_IROTH)
    yield from (bool(folder.stat().st_mode & stat.S_IXOTH) for folder in real.parents)
