"""What is supervised: an ATOLL agent (the same program under every supervisor), or a bare child."""

import random
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

Child = Literal["agent", "bare"]

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the range that the kernel takes automatic ports from."""

MANIFEST = """\
[agent]
name = "{name}"
description = "{description}"

[llm]
provider = "demo"
{tools}
[deployment]
port = {port}
restart = "always"
{deployment}"""

NEST = '''\
"""Starts three grandchildren: a plain one, one in a session of its own, a double-forked one."""

import os
import subprocess
import sys

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
ESCAPE = (
    "import os, sys, time\\n"
    "if os.fork(): os._exit(0)\\n"
    "os.setsid()\\n"
    "if os.fork(): os._exit(0)\\n"
    "open(sys.argv[1], 'a').write(f'double {os.getpid()}\\\\n')\\n"
    "time.sleep(600)\\n"
)


def _start() -> None:
    with open(PIDS, "a") as file:
        file.write(f"plain {subprocess.Popen(SLEEP).pid}\\n")
        file.write(f"session {subprocess.Popen(SLEEP, start_new_session=True).pid}\\n")
    subprocess.run([sys.executable, "-S", "-c", ESCAPE, PIDS], check=True)


PIDS = %(pids)r
_start()


def nothing() -> str:
    """Do nothing."""
    return ""
'''

CRASHER = '''\
"""Ends the process at once as long as a file is there; each try is one line of another."""

import os
import time

with open(%(tries)r, "a") as file:
    file.write(f"{time.monotonic()}\\n")
if os.path.exists(%(broken)r):
    os._exit(1)


def nothing() -> str:
    """Do nothing."""
    return ""
'''


class Unit(NamedTuple):
    """One server to keep running; `folder` holds its manifest when it is an agent."""

    name: str
    port: int
    child: Child
    argv: tuple[str, ...]
    folder: Path


def make(
    parent: Path,
    name: str,
    port: int,
    child: Child = "agent",
    python: str = sys.executable,
    *,
    tools: str = "",
    deployment: str = "",
) -> Unit:
    """Write the unit's folder; `python` runs a bare child, `tools` is the text of a tools.py."""
    folder = parent / name
    folder.mkdir(parents=True)
    if tools:
        (folder / "tools.py").write_text(tools)
    write_manifest(folder, name, port, tools=bool(tools), deployment=deployment)
    if child == "bare":
        script = str(Path(__file__).with_name("child.py"))
        return Unit(name, port, child, (python, script, str(port)), folder)
    manifest = str(folder / "agent.toml")
    argv = (sys.executable, "-m", "atoll", "--server", "--port", str(port), "--agent", manifest)
    return Unit(name, port, child, argv, folder)


def write_manifest(
    folder: Path,
    name: str,
    port: int,
    *,
    tools: bool = False,
    deployment: str = "",
    description: str = "Answers by rules.",
) -> None:
    """Write agent.toml as editors save: beside it, then in its place."""
    words = '\n[tools]\npython = "tools.py"\n' if tools else ""
    text = MANIFEST.format(
        name=name, port=port, tools=words, deployment=deployment, description=description
    )
    draft = folder / ".agent.toml.new"
    draft.write_text(text)
    draft.replace(folder / "agent.toml")


def ports() -> Iterator[int]:
    """Ports that are free at this moment, from a random place upwards, none of them twice."""
    first = random.randrange(FIRST_PORT, LAST_PORT - 2_000, 100)
    for port in (*range(first, LAST_PORT), *range(FIRST_PORT, first)):
        if _is_free(port):
            yield port
    raise OSError("no free ports left")


def block(size: int) -> int:
    """The first of `size` neighbouring ports that are free at this moment."""
    for first in range(FIRST_PORT, LAST_PORT + 768 - size, max(1, size // 4)):
        if all(map(_is_free, range(first, first + size))):
            return first
    raise OSError(f"no {size} neighbouring free ports")


def ports_of(units: Sequence[Unit]) -> list[int]:
    """Where they answer."""
    return [unit.port for unit in units]


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
