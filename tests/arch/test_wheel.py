"""The wheel holds the three packages and nothing else, built as an installer would."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.arch.tree import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """A wheel that is built offline from a copy of the tree."""
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
    (path,) = out.iterdir()
    return ZipFile(path)


@pytest.fixture(scope="module")
def names(wheel: ZipFile) -> list[str]:
    return wheel.namelist()


def test_only_the_three_packages_are_packaged(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "atoll",
        "atoll_supervisor",
        "atoll_conformance",
    }


def test_no_test_is_packaged(names: list[str]) -> None:
    assert [name for name in names if "test" in name.lower()] == []


def test_every_module_is_packaged(names: list[str]) -> None:
    roots = (ROOT / "agent_runtime", ROOT / "supervisor", ROOT / "conformance")
    wanted = {path.relative_to(root).as_posix() for root in roots for path in root.rglob("*.py")}
    assert wanted <= set(names)


def test_the_examples_of_the_reference_and_the_pins_of_its_programs_come_along(
    names: list[str],
) -> None:
    reference = "atoll/http/reference"
    wanted = {f"{reference}/answers.json", f"{reference}/assets.txt"}
    assert wanted | {"atoll_supervisor/api/answers.json"} <= set(names)


def test_the_recipes_of_services_come_along(names: list[str]) -> None:
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.toml")}
    assert {f"atoll_supervisor/{path}" for path in recipes} <= set(names)


def test_types_and_licence_come_along(names: list[str]) -> None:
    assert {"atoll/py.typed", "atoll_supervisor/py.typed", "atoll_conformance/py.typed"} <= set(
        names
    )
    assert any(Path(name).name == "LICENSE" for name in names)


def test_both_commands_and_the_fleet_entry_point_are_declared(wheel: ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    declared = ConfigParser()
    declared.read_string(wheel.read(path).decode())
    assert dict(declared["console_scripts"]) == {
        "atoll": "atoll.__main__:main",
        "atoll-supervisor": "atoll_supervisor.cli:main",
    }
    assert dict(declared["atoll.commands"]) == {"fleet": "atoll_supervisor.cli:main"}
