"""Rows G1 to G12 where something is missing: what is told, and what is not left behind."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from atoll_conformance.g_clients import CLIENTS, SCRIPTS
from atoll_conformance.profile import Profile
from atoll_conformance.run import judged
from atoll_conformance.server import Server
from atoll_conformance.table import TABLE
from atoll_conformance.verdict import Fail, NotApplicable, Verdict
from tests.conformance.test_faults import SHOWN
from tests.fakes.upstream import Upstream, whole

pytestmark = pytest.mark.anyio
SHOWN_BY = whole(SHOWN)


async def told(row: str, clients: Path, limit: float = 30.0) -> Verdict:
    """The verdict of a row against a server that knows nothing but its model's abilities."""
    async with Upstream() as upstream:
        upstream.on("/api/show", SHOWN_BY)
        async with httpx.AsyncClient(base_url=upstream.url, trust_env=False) as client:
            server = Server(client, "m", Profile(), clients)
            return await judged(next(one for one in TABLE if one.id == row), server, limit)


def environment(folder: Path, program: str = "") -> Path:
    """An environment without any client; `program` is what stands for its python."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    if program:
        python.write_text(program)
        python.chmod(0o755)
    else:
        python.symlink_to(sys.executable)
    return folder


async def test_an_environment_that_is_none_is_named(tmp_path: Path) -> None:
    came = await told("G1", tmp_path)
    assert isinstance(came, NotApplicable)
    assert "bin/python is not there" in came.why
    assert "pip install ollama" in came.why


async def test_a_client_that_is_not_installed_does_not_apply(tmp_path: Path) -> None:
    came = await told("G3", environment(tmp_path))
    assert isinstance(came, NotApplicable)
    assert "pip install langchain-ollama" in came.why


async def test_a_client_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = "#!/bin/sh\necho first\necho 'AssertionError: no model is listed' >&2\nexit 1\n"
    came = await told("G1", environment(tmp_path, program))
    assert isinstance(came, Fail)
    assert "AssertionError: no model is listed" in came.came


async def test_a_client_that_hangs_is_ended_with_its_row(tmp_path: Path) -> None:
    left = tmp_path / "pid"
    program = f"#!/bin/sh\necho $$ >{left}\nexec sleep 600\n"
    came = await told("G1", environment(tmp_path, program), limit=1.0)
    assert isinstance(came, Fail)
    assert subprocess.run(["kill", "-0", left.read_text().strip()]).returncode != 0


def test_each_of_the_twelve_rows_has_its_script() -> None:
    assert {client.script for client in CLIENTS} == {
        path.name for path in SCRIPTS.glob("g*.*") if path.suffix in (".py", ".mjs")
    }
    assert len(CLIENTS) == 12
