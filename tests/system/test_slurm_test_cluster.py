"""scripts/slurm-test-cluster: what died of a cluster is started again, and nothing outlives it."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes.daemon import eventually
from tests.fakes.slurm import Cluster, cluster, wants_slurm

MARK = "seen-to-run"
DAEMONS = ("munged", "slurmctld", "slurmd-n1", "slurmd-n2")
JOB = ("--exclusive", "--output=/dev/null", "-w", "n2", "--wrap", "sleep 600")

pytestmark = wants_slurm


@pytest.fixture(name="made")
def a_cluster() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.mark.parametrize("dead", [["slurmctld"], ["munged", "slurmd-n1"], [*DAEMONS]])
def test_up_starts_what_died_and_nothing_else(made: Cluster, dead: list[str]) -> None:
    """A job that runs goes on: its node is allocated, and that is as good as idle."""
    job = made.run("sbatch", "--parsable", *JOB).strip()
    eventually(lambda: _state(made, job) == "RUNNING")
    _save(made, job)
    before = {name: made.pid(name) for name in DAEMONS}
    for name in dead:
        made.kill(name)
    eventually(lambda: not any(map(psutil.pid_exists, (before[name] for name in dead))))
    made.script("up")
    after = {name: made.pid(name) for name in DAEMONS}
    assert {name for name in DAEMONS if after[name] != before[name]} == set(dead)
    assert len([one for one in _processes(made) if one.name() == "munged"]) == 1
    eventually(lambda: _state(made, job) == "RUNNING")
    made.script("down")
    assert _processes(made) == []


def test_a_cluster_that_is_up_is_left_as_it_is(made: Cluster) -> None:
    before = {name: made.pid(name) for name in DAEMONS}
    with pytest.raises(AssertionError, match="it is up already"):
        made.script("up")
    assert {name: made.pid(name) for name in DAEMONS} == before


def test_down_ends_what_no_pid_file_tells_of(made: Cluster) -> None:
    for file in (made.folder / "run").glob("*.pid"):
        file.unlink()
    made.script("down")
    assert _processes(made) == []


def test_down_leaves_the_process_whose_number_a_dead_one_had(made: Cluster) -> None:
    """After a restart of the machine that may be another cluster's, or the system's own munged."""
    with cluster() as other:
        made.kill("munged")
        (made.folder / "run/munged.pid").write_text(f"{other.pid('munged')}\n")
        made.script("down")
        assert psutil.pid_exists(other.pid("munged"))


def _save(made: Cluster, job: str) -> None:
    """Wait until slurmctld has written down that it runs, after seconds; a kill forgets it."""
    made.run("scontrol", "update", f"JobId={job}", f"Comment={MARK}")
    saved = made.folder / "state/job_state"
    eventually(lambda: saved.exists() and MARK.encode() in saved.read_bytes())


def _state(made: Cluster, job: str) -> str:
    return str(made.job(job).get("job_state", ""))


def _processes(made: Cluster) -> list[psutil.Process]:
    """The live ones that carry the cluster's mark."""
    mark = f"SLURM_CONF={made.conf}\0".encode()
    found: list[psutil.Process] = []
    for one in psutil.process_iter():
        try:
            environ = Path(f"/proc/{one.pid}/environ").read_bytes()
            if mark in environ and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except (OSError, psutil.Error):
            continue
    return found
