"""Each check names what is wrong and the line that mends it."""

import subprocess
import sys
from pathlib import Path

import pytest

from atoll.adapters.listening import listen, port_of
from atoll.config.places import places_of
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell import checkup
from tests.fakes.cli import atoll

pytestmark = pytest.mark.anyio


def test_a_machine_on_which_this_runs_has_loopback_files_and_watches() -> None:
    assert [checkup.loopback().level, checkup.open_files().level] == ["ok", "ok"]
    assert checkup.watches().text


def test_without_loopback_the_doctor_says_how_to_bring_it_up() -> None:
    code = "from atoll_supervisor.shell.checkup import loopback; print(loopback())"
    said = subprocess.run(
        ["unshare", "-r", "-n", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "unshare failed" in said.stderr:
        pytest.skip("this machine lets nobody make a network namespace")
    assert "fault" in said.stdout, said.stderr
    assert "ip link set lo up" in said.stdout


def test_a_port_that_somebody_holds_is_a_fault_with_its_flag(tmp_path: Path) -> None:
    places = places_of({}, 0, tmp_path / "state")
    with listen("127.0.0.1", 0) as stranger:
        found = checkup.api_port(Settings(api_port=port_of(stranger)), places)
    assert (found.level, found.cure) == ("fault", "choose another port with --api-port")


def test_a_state_directory_of_others_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert checkup.directory("state directory", tmp_path / "open").level == "fault"
    assert checkup.directory("state directory", tmp_path / "new" / "deep").level == "ok"


async def test_the_command_ends_with_1_only_when_something_is_a_fault(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as stranger:
        port = str(port_of(stranger))
        said = await atoll(tmp_path, "doctor", "--api-port", port)
        assert said.code == 1
        assert "FAULT  daemon: port" in said.out
    said = await atoll(tmp_path, "doctor", "--json", "--api-port", port)
    assert said.code == 0, said.out
    assert '"check": "loopback"' in said.out
