"""The systemd units as shipped, checked by systemd's own tools."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from atoll_supervisor.cli.codes import Exit

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "systemd"
KINDS = (".service", ".socket")
UNITS = sorted(path for path in FOLDER.iterdir() if path.suffix in KINDS)
USER_UNITS = sorted(path for path in (FOLDER / "user").iterdir() if path.suffix in KINDS)
SERVICES = [path for path in UNITS if path.suffix == ".service"]
MAX_EXPOSURE = 20
"""In tenths, as --threshold counts."""

wants_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="wants the Debian package systemd"
)


def analyze(
    *arguments: str | Path, runtime: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    environ = dict(os.environ) | ({"XDG_RUNTIME_DIR": str(runtime)} if runtime else {})
    return subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, env=environ
    )


def settings(unit: Path) -> dict[str, list[str]]:
    """Every `Name=value` of a unit file, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", "").splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@wants_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_correct(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@wants_systemd
@pytest.mark.parametrize("unit", USER_UNITS, ids=lambda unit: unit.name)
def test_a_persons_unit_is_correct(unit: Path, tmp_path: Path) -> None:
    done = analyze("--user", "verify", unit, runtime=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@wants_systemd
def test_a_unit_with_a_mistake_is_found(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    bad = tmp_path / "bad.service"
    bad.write_text(SERVICES[0].read_text().replace("KillMode=mixed", "KillMode=gentle"))
    assert "kill mode" in analyze("verify", bad).stderr


@wants_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_exposes_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MAX_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "user"], ids=["system", "user"])
def test_the_unit_keeps_no_setting_from_its_operator(folder: Path) -> None:
    """Ports and directories come from the environment, so a drop-in can change them."""
    assert settings(folder / "atoll.service")["ExecStart"] == ["/usr/bin/env atoll up"]
    assert settings(folder / "atoll-keeper.service")["ExecStart"] == ["/usr/bin/env atoll keeper"]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "user"], ids=["system", "user"])
def test_a_crash_of_the_daemon_reaches_the_keeper_by_no_dependency(folder: Path) -> None:
    """systemd restarts with a unit what is PartOf it, requires it or is bound to it."""
    daemon, keeper = (settings(folder / f"{name}.service") for name in ("atoll", "atoll-keeper"))
    for name in ("PartOf", "Requires", "Requisite", "BindsTo", "StopPropagatedFrom"):
        assert not any("atoll" in value for value in daemon.get(name, []) + keeper.get(name, []))


def test_systemd_does_not_repeat_what_cannot_mend_itself() -> None:
    prevented = settings(FOLDER / "atoll.service")["RestartPreventExitStatus"]
    assert prevented == [f"{Exit.USAGE:d} {Exit.CONFIG:d}"]


def test_daemon_and_agents_are_of_one_user() -> None:
    """The keeper's socket is for its own user only."""
    users = [settings(FOLDER / f"{name}.service")["User"] for name in ("atoll", "atoll-keeper")]
    assert users == [["atoll"], ["atoll"]]
    assert "u atoll " in (FOLDER / "atoll.sysusers").read_text()
