"""Whose a job is: a lock that the kernel lets go of when its relay dies."""

import os
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from atoll_supervisor.core.agent_job import JobRecord
from atoll_supervisor.jobs.claims import claim_new, claims_left

RECORD = JobRecord(uuid="u1", name="atoll-a-u1", checksum="c", key="k")
DIES = (
    "import os, pathlib, signal, sys\n"
    "from atoll_supervisor.core.agent_job import JobRecord\n"
    "from atoll_supervisor.jobs.claims import claim_new\n"
    "record = JobRecord(uuid='u1', name='n', checksum='c', key='k', job_id='7')\n"
    "claim_new(pathlib.Path(sys.argv[1]), record)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_a_job_with_a_relay_is_not_left(tmp_path: Path) -> None:
    claim = claim_new(tmp_path / "jobs", RECORD)
    assert claims_left(tmp_path / "jobs") == []
    claim.release()
    (left,) = claims_left(tmp_path / "jobs")
    assert left.record == RECORD
    assert claims_left(tmp_path / "jobs") == [], "whoever found it has it now"
    left.remove()
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_killed_relay_leaves_its_job(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "jobs")], timeout=30)
    assert done.returncode == -9
    (left,) = claims_left(tmp_path / "jobs")
    assert (left.record.uuid, left.record.job_id) == ("u1", "7")
    left.release()


def test_what_is_written_of_a_job_is_read_again(tmp_path: Path) -> None:
    claim = claim_new(tmp_path, RECORD)
    claim.write(replace(RECORD, job_id="7", leaving=True))
    (claim.folder / "output.log").write_text("x" * 100 + "end")
    assert claim.read("output.log", 3) == "end"
    assert claim.read("nothing") == ""
    claim.release()
    (left,) = claims_left(tmp_path)
    assert left.record == replace(RECORD, job_id="7", leaving=True)
    left.release()


FULL = (
    "import pathlib, resource, signal, sys\n"
    "from atoll_supervisor.core.agent_job import JobRecord\n"
    "from atoll_supervisor.jobs.claims import claim_new\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    "try:\n"
    "    claim_new(pathlib.Path(sys.argv[1]), JobRecord(uuid='u', name='n', checksum='', key=''))\n"
    "except OSError:\n"
    "    sys.exit(3)\n"
)


def test_a_disk_that_takes_nothing_more_is_not_filled_with_folders(tmp_path: Path) -> None:
    """An agent is started again and again, for as long as that lasts."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "jobs")], timeout=30)
    assert done.returncode == 3
    assert list((tmp_path / "jobs").iterdir()) == []


def test_the_newest_comes_first_and_what_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    for uuid in ("u1", "u2"):
        claim_new(tmp_path, replace(RECORD, uuid=uuid)).release()
    os.utime(tmp_path / "u2")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger/job.json").write_text("{")
    (tmp_path / "stranger/lock").touch()
    (tmp_path / "file").write_text("")
    left = claims_left(tmp_path)
    assert [claim.record.uuid for claim in left] == ["u2", "u1"]
    for claim in left:
        claim.release()
    assert claims_left(tmp_path / "nowhere") == []
