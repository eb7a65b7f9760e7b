"""The systemd units as shipped, checked by systemd's own tools."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted(
    path for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket")
)
MAX_EXPOSURE = 40
"""In tenths, as --threshold counts."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="wants the Debian package systemd"
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_correct(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_unit_with_a_mistake_is_found(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    bad = tmp_path / "bad.service"
    bad.write_text(UNITS[0].read_text().replace("KillMode=mixed", "KillMode=gentle"))
    assert "kill mode" in analyze("verify", bad).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_exposes_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MAX_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_the_unit_keeps_no_setting_from_its_operator() -> None:
    """Ports and directories come from the environment, so a drop-in can change them."""
    command = next(
        line
        for line in (ROOT / "systemd/atoll.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    )
    assert command == "ExecStart=/usr/bin/env atoll up"
