"""The scripts behind `make`, run as a person with another machine would meet them."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a space in its name that holds what the scripts need and no .venv."""
    folder = tmp_path / "my clone"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    return subprocess.run(
        command,
        cwd=folder,
        env=plain | environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_an_old_python_is_refused_with_the_way_out(clone: Path) -> None:
    done = run(clone, "make", "setup", PYTHON="/bin/false")
    assert done.returncode != 0
    assert "ATOLL needs Python 3.11 or newer; tried: /bin/false" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


def test_a_python_without_venv_names_the_debian_package(clone: Path) -> None:
    """As on a fresh Debian: new enough, but `import ensurepip` fails."""
    script = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac'
    bare = program(clone / "bin/python3", script)
    done = run(clone, "make", "setup", PYTHON=str(bare))
    assert done.returncode != 0
    assert "apt install python3.12-venv" in done.stderr


def test_a_shim_that_stands_for_no_interpreter_is_passed_over(clone: Path) -> None:
    """A version manager's `python3` may be there and answer nothing; the next name is tried."""
    bins = clone / "bin"
    program(bins / "python3", "exit 127")
    program(bins / "python3.14", 'case "$*" in *venv\\ --clear*) echo MADE >&2; exit 9;; esac')
    done = run(clone, "make", "setup", PATH=f"{bins}:{os.environ['PATH']}")
    assert "MADE" in done.stderr


def test_make_alone_lists_what_can_be_made(clone: Path) -> None:
    done = run(clone, "make")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["help", "up", "setup", "test", "lint", "soak", "bench", "lock", "clean"]


def test_without_the_engine_the_model_is_not_asked_for(clone: Path) -> None:
    program(clone / ".venv/bin/python", "exit 1")
    program(clone / ".venv/bin/atoll", "echo PULLED; exit 1")
    done = run(clone, "scripts/model")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_model_that_cannot_be_fetched_does_not_keep_the_fleet_down(clone: Path) -> None:
    program(clone / ".venv/bin/python", "exit 0")
    program(clone / ".venv/bin/atoll", 'echo "$*"; exit 1')
    done = run(clone, "scripts/model")
    assert (done.returncode, done.stdout) == (0, "pull smollm2:135m\n")
    assert "Going on without the embedded model" in done.stderr


def test_up_passes_no_flag_and_hands_the_environment_on(clone: Path) -> None:
    program(clone / ".venv/bin/python", "exit 1")
    program(clone / ".venv/bin/atoll", 'echo "[$*] $ATOLL_API_PORT $ATOLL_AGENTS_DIR"')
    for name in ("run", "test"):
        (clone / f".venv/{name}.stamp").touch()
    done = run(clone, "make", "up", "ATOLL_AGENTS_DIR=my agents", ATOLL_API_PORT="9099")
    assert done.stdout == "[up] 9099 my agents\n"


def test_every_check_runs_although_an_earlier_one_failed(clone: Path) -> None:
    for name, code in (
        ("ruff", 0),
        ("mypy", 1),
        ("pyright", 0),
        ("lint-imports", 0),
        ("pytest", 0),
    ):
        program(clone / ".venv/bin" / name, f"exit {code}")
    done = run(clone, "scripts/check")
    assert done.returncode == 1
    summary = [line.split() for line in done.stdout.splitlines()[-7:]]
    assert [line[-1] for line in summary] == ["ok", "ok", "FAILED", "FAILED", "ok", "ok", "ok"]


def test_all_checks_good_is_exit_0_and_lint_leaves_the_tests_out(clone: Path) -> None:
    for name in ("ruff", "mypy", "pyright", "lint-imports"):
        program(clone / ".venv/bin" / name, "exit 0")
    program(clone / ".venv/bin/pytest", "exit 1")
    assert run(clone, "scripts/check", "lint").returncode == 0
    assert run(clone, "scripts/check").returncode == 1


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="wants Debian's dpkg")
def test_system_packages_are_named_and_not_forced_without_root(clone: Path) -> None:
    bins = clone / "bin"
    program(bins / "dpkg-query", "exit 1")
    program(bins / "id", "echo 1000")
    done = run(clone, "scripts/system-packages", PATH=f"{bins}:{os.environ['PATH']}")
    assert done.returncode == 0
    wanted = (
        "bubblewrap chromium-headless-shell curl dbus faketime git jq slurm-wlm slurmrestd strace"
        " stress-ng systemd"
    )
    assert f"not root; tests that want {wanted} will be skipped" in done.stdout


def test_ci_runs_the_command_of_the_readme_and_nothing_else() -> None:
    text = (ROOT / ".ci/run").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[-2:] == ["scripts/system-packages", "make test"]
    assert "make test" in (ROOT / "README.md").read_text()
