"""The wheel holds the two packages and nothing else, built as an installer would."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.arch.tree import ROOT


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel that is built offline from a copy of the tree."""
    pytest.importorskip("hatchling", reason="wants the Python package hatchling (make setup)")
    copy, out = tmp_path_factory.mktemp("tree") / "atoll", tmp_path_factory.mktemp("wheel")
    hidden = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
    shutil.copytree(ROOT, copy, ignore=hidden)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*command, "-qq", "-w", out, copy], check=True, timeout=50)
    (wheel,) = out.iterdir()
    return ZipFile(wheel).namelist()


def test_only_the_two_packages_are_packaged(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"atoll", "atoll_supervisor"}


def test_no_test_is_packaged(names: list[str]) -> None:
    assert [name for name in names if "test" in name.lower()] == []


def test_every_module_is_packaged(names: list[str]) -> None:
    roots = (ROOT / "agent_runtime", ROOT / "supervisor")
    wanted = {path.relative_to(root).as_posix() for root in roots for path in root.rglob("*.py")}
    assert wanted <= set(names)


def test_types_and_licence_come_along(names: list[str]) -> None:
    assert {"atoll/py.typed", "atoll_supervisor/py.typed"} <= set(names)
    assert any(Path(name).name == "LICENSE" for name in names)


def test_both_commands_and_the_fleet_entry_point_are_declared(names: list[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
