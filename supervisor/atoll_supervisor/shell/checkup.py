"""What must be true of a machine for a fleet to run on it, looked at and said with its cure.

Each check is independent of the others and none of them changes anything that
lasts, so that `atoll doctor` may be run beside a living fleet.
"""

import os
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from msgspec import Struct

from atoll.adapters.listening import listen, port_holder, port_of
from atoll.adapters.private import private_directory
from atoll.config.places import Places
from atoll.errors import AtollError
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell.lock import holder

Level = Literal["ok", "warning", "fault"]

LEAST_FREE = 100 * 1024 * 1024
"""Bytes below which logs and databases will soon be refused."""
LEAST_FILES = 1024
FILES_PER_AGENT = 8
_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
LEAST_WATCHES = 1024
_LIMIT = 2.0


class Finding(Struct, frozen=True):
    """What one check found; `cure` is the line that mends it, "" when nothing is wrong."""

    check: str
    level: Level
    text: str
    cure: str = ""

    @property
    def fault(self) -> str:
        """What keeps a fleet from running here, with its cure, or ""."""
        return f"{self.text}; {self.cure}" if self.level == "fault" else ""


def examine(settings: Settings, places: Places) -> Iterator[Finding]:
    """Every check in the order in which a start would need it."""
    yield loopback()
    yield directory("state directory", places.state)
    yield directory("runtime directory", places.runtime)
    yield free_space(places.state)
    yield agents_directory(settings.agents_dir)
    yield api_port(settings, places)
    yield open_files()
    yield watches()


def loopback() -> Finding:
    """Whether a client on this machine can reach a server on it (`faults.md` row 47)."""
    cure = "bring it up: ip link set lo up"
    try:
        with closing(listen("127.0.0.1", 0)) as server:
            socket.create_connection(("127.0.0.1", port_of(server)), _LIMIT).close()
    except OSError as error:
        text = f"127.0.0.1 cannot be reached: {error.strerror or error}"
        return Finding("loopback", "fault", text, cure)
    return Finding("loopback", "ok", "127.0.0.1 answers")


def directory(check: str, path: Path) -> Finding:
    """Whether the directory is, or can be made, ours alone."""
    existing = next(place for place in (path, *path.parents) if place.exists())
    try:
        if existing == path:
            private_directory(path)
        writable = os.access(existing, os.W_OK | os.X_OK)
    except AtollError as error:
        return Finding(check, "fault", str(error), "choose another with --state-dir")
    if not writable:
        return Finding(
            check, "fault", f"cannot write to {existing}", "choose another with --state-dir"
        )
    return Finding(check, "ok", f"{path}")


def free_space(path: Path) -> Finding:
    """Whether the disk of the state directory has room."""
    existing = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free // 1024 // 1024} MiB free for state and logs"
    if free < LEAST_FREE:
        return Finding("disk", "warning", text, f"free some space on the disk of {existing}")
    return Finding("disk", "ok", text)


def agents_directory(path: Path) -> Finding:
    """Whether there are agents to run."""
    try:
        found = sum(1 for _ in path.glob("*/agent.toml")) + sum(
            1 for _ in path.glob("*/agent.json")
        )
    except OSError as error:
        text = f"cannot read {path}: {error.strerror}"
        return Finding("agents", "fault", text, "choose another with --agents-dir")
    if not found:
        text = f"no agent in {path}"
        return Finding("agents", "warning", text, "put a folder with an agent.toml into it")
    return Finding("agents", "ok", f"{found} in {path}")


def api_port(settings: Settings, places: Places) -> Finding:
    """Whether the daemon's port is free, or its own."""
    if running := holder(places.lock):
        if not running.pid:
            text = f"something holds {places.lock} and did not write down what it is"
            return Finding("daemon", "warning", text, f"find it with: fuser {places.lock}")
        text = f"a daemon runs: pid {running.pid}, API on port {running.api_port}"
        return Finding("daemon", "ok", text)
    port = settings.api_port
    try:
        listen(settings.host, port).close()
    except OSError as error:
        who = port_holder(port)
        text = f"port {port} of {settings.host}: {error.strerror}{f' ({who})' if who else ''}"
        return Finding("daemon", "fault", text, "choose another port with --api-port")
    return Finding("daemon", "ok", f"none runs; port {port} is free")


def open_files() -> Finding:
    """How many agents the limit of open files has room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return Finding("open files", "ok", "no limit")
    text = f"at most {hard}: room for about {hard // FILES_PER_AGENT} agents"
    if hard < LEAST_FILES:
        return Finding(
            "open files", "warning", text, "raise the hard limit: ulimit -Hn, LimitNOFILE="
        )
    return Finding("open files", "ok", text)


def watches() -> Finding:
    """Whether the kernel lets the agents directory be watched for edits."""
    try:
        most = int(_WATCHES.read_text())
    except (OSError, ValueError):
        text = "the kernel has no inotify: edits are looked for every two seconds"
        return Finding("edits", "warning", text)
    if most < LEAST_WATCHES:
        text = f"only {most} folders can be watched for edits"
        return Finding("edits", "warning", text, "sysctl fs.inotify.max_user_watches=65536")
    return Finding("edits", "ok", f"up to {most} folders can be watched")
