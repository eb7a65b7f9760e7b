"""The project's own source, as the architecture tests look at it."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
ATOLL = ROOT / "agent_runtime/atoll"
SUPERVISOR = ROOT / "supervisor/atoll_supervisor"
CONFORMANCE = ROOT / "conformance/atoll_conformance"
AGENTS = ROOT / "atoll_agents"
PACKAGES = (ATOLL, SUPERVISOR, CONFORMANCE)
CLIENTS = CONFORMANCE / "clients"
"""Scripts for other people's packages: the suite carries them and imports none."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(Struct, frozen=True):
    """One Python file and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones included."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def sources(*folders: Path) -> list[Source]:
    """The Python files under the folders, or under all packages."""
    found = (path for folder in folders or PACKAGES for path in folder.rglob("*.py"))
    paths = sorted(path for path in found if path.parent != CLIENTS)
    texts = [(path, path.read_text()) for path in paths]
    return [Source(path, text, ast.parse(text, str(path))) for path, text in texts]


def length(function: Function) -> int:
    """Physical lines, signature and docstring included, decorators left out."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def repository_files() -> list[Path]:
    """What is committed or would be: tracked files and new ones that are not ignored."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    if shutil.which("git") is None:
        pytest.skip("wants the Debian package git")
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    listed = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=30
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file())
