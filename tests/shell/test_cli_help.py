"""What `--help` costs, and that every command has the options it promises."""

import asyncio
import sys
from pathlib import Path

import pytest

from atoll_supervisor.cli.root import atoll as group
from tests.fakes.cli import LIMIT, atoll, environment

pytestmark = pytest.mark.anyio

HEAVY = ("httpx", "rich", "litestar", "uvicorn", "psutil", "watchfiles")
SHOW_HEAVY = f"""
import atexit, sys
atexit.register(lambda: print("IMPORTED", *[m for m in {HEAVY} if m in sys.modules]))
from atoll_supervisor.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("args", [["--help"], ["ps", "--help"], ["up", "--help"], ["run", "-h"]])
async def test_help_imports_nothing_heavy(tmp_path: Path, args: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", SHOW_HEAVY, *args),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines()[-1] == "IMPORTED"


async def test_no_command_at_all_shows_them_all(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in group.commands)


async def test_help_of_a_command_is_the_commands_help(tmp_path: Path) -> None:
    by_topic = await atoll(tmp_path, "help", "ps")
    assert by_topic.out.startswith("Usage: atoll ps [OPTIONS]")
    assert (await atoll(tmp_path, "help", "nonsense")).code == 2


def test_every_command_takes_json_and_debug() -> None:
    commands = [
        *group.commands.values(),
        *(
            sub
            for each in group.commands.values()
            for sub in getattr(each, "commands", {}).values()
        ),
    ]
    for command in commands:
        if not getattr(command, "commands", None):
            names = {option.name for option in command.params}
            assert {"json", "debug"} <= names, command.name


async def test_version_is_printed_and_machine_readable(tmp_path: Path) -> None:
    assert (await atoll(tmp_path, "version")).out.startswith("atoll ")
    assert '"version"' in (await atoll(tmp_path, "version", "--json")).out
