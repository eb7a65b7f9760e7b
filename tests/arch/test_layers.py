"""The layers of DESIGN section 5 hold, and the contracts that say so can fail."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.tree import ROOT

RUNTIME = "the agent runtime knows nothing of the supervisor"
CORES = "the decision cores do no I/O and read no clock"
LAYERS = "layers of the agent runtime"
SUPERVISOR = "layers of the supervisor"
KEEPER = "the keeper stands on the standard library alone"
SUITE = "the conformance suite knows nothing of ATOLL and needs httpx and msgspec alone"
LIGHT = "an agent does not carry the conformance suite"
ROOTS = ("agent_runtime", "supervisor", "conformance")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the tree at `root`, not of the one that is installed."""
    paths = os.pathsep.join(str(root / name) for name in ROOTS)
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ROOTS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    kept = set(re.findall(r"^(.+?) KEPT", done.stdout, re.MULTILINE))
    assert done.returncode == 0, done.stdout
    assert kept == {RUNTIME, CORES, LAYERS, SUPERVISOR, KEEPER, SUITE, LIGHT}


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("agent_runtime/atoll/loop/bad.py", "import atoll_supervisor", RUNTIME),
        ("supervisor/atoll_supervisor/core/bad.py", "import time", CORES),
        ("agent_runtime/atoll/core/bad.py", "from random import random", CORES),
        ("agent_runtime/atoll/core/bad.py", "from atoll.config import places", CORES),
        ("agent_runtime/atoll/wire/bad.py", "import atoll.http", LAYERS),
        ("agent_runtime/atoll/adapters/bad.py", "from atoll.loop import runner", LAYERS),
        ("agent_runtime/atoll/errors.py", "import atoll.wire", LAYERS),
        ("agent_runtime/atoll/stray.py", "", LAYERS),
        ("supervisor/atoll_supervisor/shell/bad.py", "import atoll_supervisor.api", SUPERVISOR),
        ("supervisor/atoll_supervisor/gateway/bad.py", "import atoll_supervisor.shell", SUPERVISOR),
        ("supervisor/atoll_supervisor/gateway/bad.py", "import atoll_supervisor.loop", SUPERVISOR),
        ("supervisor/atoll_supervisor/ports.py", "import atoll_supervisor.shell", SUPERVISOR),
        ("supervisor/atoll_supervisor/stray.py", "", SUPERVISOR),
        ("supervisor/atoll_supervisor/core/bad.py", "import atoll_supervisor.keeper", CORES),
        ("supervisor/atoll_supervisor/keeper/bad.py", "import asyncio", KEEPER),
        ("supervisor/atoll_supervisor/keeper/bad.py", "from msgspec import Struct", KEEPER),
        ("supervisor/atoll_supervisor/keeper/bad.py", "from atoll.config import names", KEEPER),
        ("conformance/atoll_conformance/bad.py", "from atoll.wire import json", SUITE),
        ("conformance/atoll_conformance/bad.py", "import click", SUITE),
        ("agent_runtime/atoll/http/bad.py", "import atoll_conformance", LIGHT),
    ],
)
def test_a_module_that_breaks_a_layer_is_found(
    copy: Path, file: str, line: str, contract: str
) -> None:
    """Added to a copy of the tree, each line breaks the contract that forbids it."""
    path = copy / file
    path.write_text(f"{path.read_text() if path.exists() else ''}\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert f"{contract} BROKEN" in done.stdout, done.stdout


def test_no_top_level_module_of_the_supervisor_is_called_supervisor() -> None:
    """An import package of that name breaks, and is broken by, the well-known one."""
    packages = {
        path.parent.name
        for path in ROOT.glob("*/*/__init__.py")
        if path.parent.parent != ROOT / "tests"
    }
    assert {"atoll", "atoll_supervisor"} <= packages
    assert not (ROOT / "supervisor/__init__.py").exists()
    assert not (ROOT / "agent_runtime/__init__.py").exists()
