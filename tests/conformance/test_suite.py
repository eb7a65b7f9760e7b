"""The suite, run as its own command, against a real agent process whose model is scripted."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shell.test_server import address, process

HERE = Path(__file__).parent
CONFORMANCE = HERE.parents[1] / "conformance"
LIMIT = 200
"""Seconds for all rows, the clients included."""
BIG = 9 * 1024 * 1024
"""Bytes of a chunk that no line of the stream may hold."""

CLIENTS = {f"G{number}" for number in range(1, 13)}
INSTALLED = CONFORMANCE.parent / ".venv" / "clients"
"""Where `make setup` installs other people's clients."""
OF_NPM = {"G2", "G4", "G11"} if shutil.which("node") is None else set[str]()
"""What cannot be asked of this machine: npm's clients without Node.js."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent with one more turn: a chunk too long to be kept in a file of the repository."""
    folder = tmp_path_factory.mktemp("agents") / "agent"
    shutil.copytree(HERE / "agent", folder)
    with (folder / "script.toml").open("a") as script:
        script.write(f"\n[[turn]]\nmatch = 'one long line please'\nchunks = ['{'x' * BIG}']\n")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with process(folder, "--port", "0", "--agent", str(folder / "agent.toml")) as child:
        yield address(child)


def suite(*args: str) -> "subprocess.CompletedProcess[str]":
    """The command as a stranger runs it: nothing of ATOLL on the path."""
    return subprocess.run(
        [sys.executable, "-m", "atoll_conformance", *args],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CONFORMANCE), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def asked(url: str, model: str, profile: Path, *more: str) -> dict[str, Any]:
    """The report of all rows."""
    options = ("--profile", str(profile), "--json", "--timeout", "100", *more)
    done = suite("--url", url, "--model", model, *options)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def report(url: str, folder: Path) -> dict[str, Any]:
    profile = folder / "profile.toml"
    return asked(url, "conformance", profile, "--clients", str(INSTALLED))


def rows_of(report: dict[str, Any], verdict: str) -> dict[str, Any]:
    return {
        row["id"]: row["verdict"] for row in report["rows"] if row["verdict"]["type"] == verdict
    }


@pytest.mark.timeout(LIMIT + 30)
def test_no_row_fails(report: dict[str, Any]) -> None:
    assert rows_of(report, "fail") == {}


@pytest.mark.timeout(LIMIT + 30)
def test_no_row_is_left_out_that_an_agent_can_be_asked(report: dict[str, Any]) -> None:
    assert (INSTALLED / "bin" / "python").exists(), "make setup installs it"
    skipped = rows_of(report, "not applicable")
    assert skipped.keys() == OF_NPM, skipped


@pytest.mark.timeout(LIMIT + 30)
def test_the_table_has_all_110_rows_and_its_numbers_add_up(report: dict[str, Any]) -> None:
    groups = {"A": 20, "B": 20, "C": 20, "D": 16, "E": 16, "F": 6, "G": 12}
    wanted = [f"{group}{n}" for group, most in groups.items() for n in range(1, most + 1)]
    assert [row["id"] for row in report["rows"]] == wanted
    assert report["total"] == 110
    assert report["passed"] + report["failed"] + report["not_applicable"] == 110


def test_a_part_of_the_table_is_printed_and_ends_with_0(url: str) -> None:
    done = suite("--url", url, "--only", "A1,a3,F6")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == ["A1", "A3", "F6"]
    assert done.stdout.endswith("\n3 of 3 pass, 0 fail, 0 not applicable\n")
    assert "\x1b" not in done.stdout


def test_a_failure_ends_with_1_and_tells_what_came(url: str) -> None:
    done = suite("--url", url, "--model", "stranger", "--only", "A8")
    assert done.returncode == 1
    assert "A8" in done.stdout
    assert "expected  status 200" in done.stdout
    assert "came      404" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["--only", "Z9"], 2, "Z9"),
        (["--profile", "/no/such.toml"], 2, "/no/such.toml"),
        (["--timeout", "soon"], 2, "soon"),
        (["--url", "nonsense"], 1, "nonsense"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(args: list[str], code: int, word: str) -> None:
    done = suite(*args)
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        done = suite("--url", f"http://127.0.0.1:{held.getsockname()[1]}")
    assert done.returncode == 1
    assert "a server at http://127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_key_of_a_profile_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text('helo = "hi"\n')
    done = suite("--profile", str(profile))
    assert done.returncode == 2
    assert "helo" in done.stderr


def test_the_command_of_atoll_runs_the_same_suite(url: str) -> None:
    command = [
        sys.executable,
        "-m",
        "atoll_supervisor",
        "conformance",
        "--url",
        url,
        "--only",
        "A1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("1 of 1 pass, 0 fail, 0 not applicable\n")
