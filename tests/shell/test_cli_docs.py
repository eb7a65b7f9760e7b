"""`atoll docs install`: nothing without its hash is installed, nothing is fetched twice."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.fakes.examples import ROOT

FORGED = "flask_openapi_swagger-5.34.0"
PARTS = ("supervisor", "agent_runtime", "conformance")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An environment without the programs, which has everything else of this one."""
    venv.create(tmp_path / "env", with_pip=False)
    return tmp_path / "env"


def atoll(prefix: Path, links: Path) -> subprocess.CompletedProcess[str]:
    """Run the command where pip has no index, only the wheels in the folder `links`."""
    paths = [sysconfig.get_path("purelib"), *(str(ROOT / part) for part in PARTS)]
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(prefix),
        "PYTHONPATH": os.pathsep.join(paths),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(links),
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [prefix / "bin/python", "-m", "atoll_supervisor", "docs", "install"]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=50)


def forged(folder: Path) -> None:
    """A wheel of the right name and version with somebody else's program in it."""
    about = f"{FORGED}.dist-info"
    name = "Name: flask-openapi-swagger\nVersion: 5.34.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with ZipFile(folder / f"{FORGED}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("flask_openapi_swagger/templates/swagger/js/swagger-ui-bundle.js", "evil()")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\n{name}")
        wheel.writestr(f"{about}/WHEEL", tags)
        wheel.writestr(f"{about}/RECORD", "")


def test_without_a_network_it_says_what_pip_says_and_that_nothing_is_lost(
    elsewhere: Path, tmp_path: Path
) -> None:
    done = atoll(elsewhere, tmp_path)
    assert done.returncode == 1
    assert "No matching distribution found for flask-openapi-swagger==5.34.0" in done.stderr
    assert "the pages work without them" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wheel_with_another_hash_is_refused_and_nothing_of_it_stays(
    elsewhere: Path, tmp_path: Path
) -> None:
    forged(tmp_path)
    done = atoll(elsewhere, tmp_path)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not list(elsewhere.glob("share/**/*.js"))


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """`make setup` has installed them into the environment of the tests."""
    done = atoll(Path(sys.prefix), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Swagger UI 5.34.0, Redoc 2.5.4, Scalar 1.76.0 are in" in done.stdout
