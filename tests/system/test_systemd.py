"""The units of systemd/ under a real systemd: a user's, and one booted in a root of its own.

What must hold is in `booted/cases.py`, which runs inside; here it is only set up.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.fakes.daemon import add_agent, free_ports

ROOT = Path(__file__).resolve().parents[2]
BOOTED = Path(__file__).parent / "booted"
SYSTEMD = Path("/lib/systemd/systemd")
GROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
WATCHDOG = "4"
"""Seconds: a test cannot wait for the 30 of the shipped unit."""


def may_boot() -> bool:
    """Whether we may make namespaces and control groups, which not every root can."""
    if os.geteuid() != 0:
        return False
    groups = next((path for path in GROUPS if (path / "cgroup.procs").exists()), None)
    if groups is None or not os.access(groups, os.W_OK):
        return False
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"]).returncode == 0


pytestmark = [
    pytest.mark.skipif(not SYSTEMD.exists(), reason="wants the Debian package systemd"),
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="wants the Debian package dbus"),
    pytest.mark.skipif(not may_boot(), reason="wants root, namespaces and a cgroup v2 to write to"),
    pytest.mark.timeout(320),
]


def test_a_persons_fleet_under_systemd_user(tmp_path: Path) -> None:
    """The user units, as shipped but for paths and ports."""
    home = tmp_path / "home"
    units = home / ".config/systemd/user"
    units.mkdir(parents=True)
    shutil.copy(ROOT / "systemd/atoll.socket", units)
    for file in (ROOT / "systemd/user").glob("*.service"):
        shutil.copy(file, units)
    first = free_ports(20)
    settings = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ATOLL_API_PORT": str(first + 19),
        "ATOLL_BASE_PORT": str(first),
        "ATOLL_DEFAULT_LLM": "demo",
    }
    for unit in ("atoll.service", "atoll-keeper.service"):
        spoken = f"StandardOutput=append:{home}/manager.log\nStandardError=inherit\n"
        drop_in(units, unit, "[Service]\n" + spoken + environment(settings))
    drop_in(units, "atoll.service", f"[Service]\nWatchdogSec={WATCHDOG}\n", "60-watchdog.conf")
    listen = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{first + 19}\n"
    drop_in(units, "atoll.socket", listen)
    fleet(home / "atoll_agents")
    command = [BOOTED / "user-manager", home, *pytest_command(Path(sys.executable), ROOT)]
    outcome = run(command, settings | {"ATOLL_BOOTED": "user", "ATOLL_BOOTED_WATCHDOG": WATCHDOG})
    assert outcome.returncode == 0, outcome.stdout


def test_the_machines_fleet_under_a_booted_systemd(tmp_path: Path) -> None:
    """The hardened units as shipped, installed as systemd/README.md says."""
    etc, out, opt = (tmp_path / name for name in ("etc", "out", "opt"))
    out.mkdir()
    units = etc / "systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    for unit in (*(ROOT / "systemd").glob("*.service"), ROOT / "systemd/atoll.socket"):
        shutil.copy(unit, units)
    for kind in ("sysusers", "tmpfiles"):
        (etc / f"{kind}.d").mkdir()
        shutil.copy(ROOT / f"systemd/atoll.{kind}", etc / f"{kind}.d/atoll.conf")
    drop_in(units, "atoll.service", f"[Service]\nWatchdogSec={WATCHDOG}\n")
    fleet(etc / "atoll/agents")
    (etc / "ld.so.conf").write_text("/opt/python/lib\ninclude /etc/ld.so.conf.d/*.conf\n")
    command = pytest_command(Path("/opt/atoll/bin/python"), Path("/opt/source"))
    boots_into(units, command)
    outcome = run([BOOTED / "own-root", etc, out, *installation(opt)], {})
    told = [file.read_text() for file in (out / "status", out / "output") if file.exists()]
    assert told[:1] == ["0\n"], "\n".join(told or [outcome.stdout])


def fleet(agents: Path) -> None:
    for name in ("One", "Two"):
        add_agent(agents, name)


def environment(settings: dict[str, str]) -> str:
    return "".join(f"Environment={name}={value}\n" for name, value in settings.items())


def drop_in(units: Path, unit: str, text: str, name: str = "50-test.conf") -> None:
    folder = units / f"{unit}.d"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def pytest_command(python: Path, root: Path) -> list[str]:
    cases = root / "tests/system/booted/cases.py"
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=90", "-q", "--durations=20"]
    return [str(python), "-m", "pytest", f"--rootdir={root}", *options, str(cases)]


def boots_into(units: Path, command: list[str]) -> None:
    """Run the cases as the last thing of the boot, then power off."""
    script = f"{' '.join(command)} >/out/output 2>&1; echo $? >/out/status"
    lines = (
        "[Service]",
        "Type=oneshot",
        f"Environment=ATOLL_BOOTED=system ATOLL_BOOTED_WATCHDOG={WATCHDOG}",
        "Environment=HOME=/root PYTHONDONTWRITEBYTECODE=1",
        f"ExecStart=/bin/sh -c '{script}'",
        "ExecStopPost=/usr/bin/systemctl --no-block poweroff",
    )
    (units / "cases.service").write_text("\n".join(lines) + "\n")
    (units / "multi-user.target.wants/cases.service").symlink_to("../cases.service")


def installation(opt: Path) -> list[str]:
    """This environment and this checkout as /opt/atoll, read-only, even when they are in /home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = opt / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    paths = ("/opt/packages", "/opt/source/supervisor", "/opt/source/agent_runtime")
    (packages / "atoll-installation.pth").write_text("\n".join(paths) + "\n")
    (opt / "bin").mkdir()
    (opt / "bin/python").symlink_to(f"/opt/python/bin/{version}")
    (opt / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    script = opt / "bin/atoll"
    script.write_text("#!/opt/atoll/bin/python\nfrom atoll.__main__ import main\nmain()\n")
    script.chmod(0o755)
    sources = (
        (opt, "/opt/atoll"),
        (sys.base_prefix, "/opt/python"),
        (sysconfig.get_path("purelib"), "/opt/packages"),
        (ROOT, "/opt/source"),
    )
    return [f"{source}:{target}" for source, target in sources]


def run(command: list[Path | str], more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The scripts limit themselves; standard error may outlive them and is not waited for."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **more},
    )
