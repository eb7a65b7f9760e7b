"""The command line of bubblewrap: what there is inside, and that there is nothing else.

Inside: the distribution's programs and libraries and a Python, all read-only;
`/tmp` (also as /dev/shm) and the file of the output, each of a fixed size; four
devices. No /proc, no /sys, no /etc, no network, no environment, no other user.
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from atoll.adapters.sandbox.interpreter import SYSTEM, Interpreter

NOBODY = 65534
_LINKS = ("bin", "lib", "lib32", "lib64")
_DEVICES = ("null", "zero", "random", "urandom")
_READ = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
PROGRAM = "/worker.py"
_PAGE = 4096


class Limits(Struct, frozen=True, kw_only=True):
    """`[sandbox]` in numbers: bytes, a count, and seconds of one step."""

    memory: int
    processes: int
    seconds: float
    disk: int
    output: int


class Passed(Struct, frozen=True):
    """Descriptors that bubblewrap reads at its start; None is none."""

    worker: int
    filter: int | None


def command(bwrap: Path, python: Interpreter, limits: Limits, passed: Passed) -> list[str]:
    """The whole line, with the worker's own words at its end."""
    words = [str(bwrap), *_divided(), *_files(python), *_writable(limits)]
    words += ["--ro-bind-data", str(passed.worker), PROGRAM, "--remount-ro", "/"]
    if passed.filter is not None:
        words += ["--seccomp", str(passed.filter)]
    numbers = (limits.memory, limits.processes, limits.output)
    run = [str(python.program), "-I", "-S", "-X", "utf8", PROGRAM, *map(str, numbers)]
    return [*words, "--", *run]


def _divided() -> list[str]:
    """Every namespace, no capability, no terminal, and an end with the agent's."""
    ours = str(NOBODY)
    return [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", ours, "--gid", ours),
        *("--cap-drop", "ALL", "--hostname", "sandbox", "--new-session", "--die-with-parent"),
        "--clearenv",
    ]


def _files(python: Interpreter) -> Iterator[str]:
    for place in SYSTEM:
        yield from ("--ro-bind-try", str(place), str(place))
    for name in _LINKS:
        yield from _as_outside(Path("/", name))
    for part in (*_READ, *map(str, python.parts)):
        yield from ("--ro-bind-try", part, part)
    for folder in map(str, python.hidden):
        yield from ("--size", str(_PAGE), "--tmpfs", folder, "--remount-ro", folder)
    yield from ("--dir", "/dev")
    for device in _DEVICES:
        yield from ("--dev-bind", f"/dev/{device}", f"/dev/{device}")
    yield from ("--symlink", "/tmp", "/dev/shm")  # noqa: S108  inside


def _as_outside(path: Path) -> list[str]:
    """`/bin` and the like: a link into /usr or a folder, as the distribution has it."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _writable(limits: Limits) -> list[str]:
    """The only places that can be written to; they live in memory and end with the sandbox."""
    output = max(_PAGE, limits.output)
    disk = max(_PAGE, limits.disk - output)
    return [
        *("--size", str(output + _PAGE), "--perms", "0700", "--tmpfs", "/output"),
        *("--size", str(disk), "--perms", "0700", "--tmpfs", "/tmp"),  # noqa: S108  inside
        *("--chdir", "/tmp"),  # noqa: S108  inside
    ]
