"""Services on a real SLURM of two nodes: jobs, their deaths, and those of the cluster."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import PLAIN, eventually, running
from tests.fakes.service_daemon import data_of
from tests.fakes.slurm import SMALL, TRANSPORTS, Cluster, SlurmDaemon, cluster, wants_slurm

pytestmark = wants_slurm


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module", params=TRANSPORTS)
def daemon(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[SlurmDaemon]:
    folder = tmp_path_factory.mktemp("slurm")
    with running(SlurmDaemon(folder).at(slurm, request.param)) as daemon:
        yield daemon


@pytest.fixture(scope="module", autouse=True)
def overtime(daemon: SlurmDaemon) -> object:
    """A job that will run over its time, begun before all tests and looked at by the last.

    SLURM counts in minutes and gives some seconds more, in which the other tests run.
    """
    return daemon.job(time_limit=1)["id"]


@pytest.fixture
def fragile() -> Iterator[Cluster]:
    """A cluster that the test may break."""
    with cluster() as made:
        yield made


def test_a_service_is_a_job_from_its_queue_to_its_end(daemon: SlurmDaemon, slurm: Cluster) -> None:
    made = daemon.job()
    assert (made["status"], made["engine"]) == ("pending", "slurm")
    row = daemon.until(made["id"], "running")
    assert (row["slurm_state"], row["node"]) == ("RUNNING", slurm.job(row["job_id"])["nodes"])
    assert daemon.prompt(made["id"]).json()["response"] == "You said: Hello"
    log = f"{daemon.url}/api/v1/services/{made['id']}/logs"
    assert "startup complete" in daemon.ask("GET", log.removeprefix(daemon.url)).json()["logs"]
    follow = {"follow": "true", "tail": "0"}
    with httpx.stream(
        "GET", log, params=follow, headers=daemon.token(), timeout=20, verify=PLAIN
    ) as lines:
        daemon.prompt(made["id"])
        assert any("/v1/chat/completions" in line for line in lines.iter_lines())
    ended = daemon.ask("DELETE", f"/api/v1/services/{made['id']}").json()
    assert ended == {"message": "Service stopped successfully", "job_id": row["job_id"]}
    assert daemon.status(made["id"]) == "cancelled"
    eventually(lambda: slurm.job(row["job_id"])["job_state"] == "CANCELLED")
    eventually(lambda: daemon.service(made["id"])["slurm_state"] == "CANCELLED")


def test_a_job_that_has_failed_is_submitted_again_as_another_one(
    daemon: SlurmDaemon, slurm: Cluster
) -> None:
    made = daemon.job("dies")
    first = daemon.until(made["id"], "failed")
    again = daemon.ask("POST", f"/api/v1/services/{made['id']}/restart")
    assert again.status_code == 200, again.text
    eventually(lambda: daemon.service(made["id"])["job_id"] != first["job_id"])
    row = daemon.until(made["id"], "failed")
    assert row["job_id"] != first["job_id"]
    assert "Failed to infer device type" in str(row["last_end"])
    assert {slurm.job(one["job_id"])["job_state"] for one in (first, row)} == {"FAILED"}
    logs = daemon.ask("GET", f"/api/v1/services/{made['id']}/logs").json()["logs"]
    assert logs.count("Failed to infer device type") == 2, "both jobs' output is there"


def test_a_job_that_runs_is_ended_before_the_one_in_its_place_begins(
    daemon: SlurmDaemon, slurm: Cluster
) -> None:
    made = daemon.job()
    first = daemon.until(made["id"], "running")["job_id"]
    daemon.ask("POST", f"/api/v1/services/{made['id']}/restart").raise_for_status()
    eventually(lambda: slurm.job(first)["job_state"] == "CANCELLED")
    row = daemon.until(made["id"], "running", "failed", "cancelled")
    assert (row["status"], row["job_id"] != first) == ("running", True)
    assert daemon.prompt(made["id"]).status_code == 200
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")


def test_a_job_gets_the_whole_of_what_was_asked_for(daemon: SlurmDaemon, slurm: Cluster) -> None:
    """MX2: 600 MB are 600 MB, however many CPUs there are."""
    made = daemon.job(memory="600M", cpu="3")
    row = daemon.until(made["id"], "running")
    assert "cpu=3,mem=600M" in str(slurm.job(row["job_id"])["tres_alloc_str"])
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")


def known(daemon: SlurmDaemon) -> list[object]:
    """The ids of all services: what others are doing meanwhile is of no matter."""
    return [row["id"] for row in daemon.get("/api/v1/services").json()]


@pytest.mark.parametrize("asked", [{"memory": "900G"}, {"gpu": 2}])
def test_what_the_cluster_can_never_give_is_refused_with_its_words(
    daemon: SlurmDaemon, asked: dict[str, object]
) -> None:
    before = known(daemon)
    body = {"recipe_name": "inference/vllm", "config": {"resources": asked}}
    answer = daemon.ask("POST", "/api/v1/services", body)
    assert answer.status_code == 400
    assert "the cluster refused the job" in answer.json()["detail"]
    assert known(daemon) == before


def test_what_the_cluster_cannot_give_now_waits_with_its_reason(daemon: SlurmDaemon) -> None:
    """SLURM queues more CPUs than any node has: a node may yet be added."""
    made = daemon.job(cpu=200)
    eventually(lambda: "PartitionConfig" in str(daemon.service(made["id"])["reason"]))
    assert daemon.status(made["id"]) == "pending"
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}")


def test_jobs_that_fail_say_why(daemon: SlurmDaemon) -> None:
    hog, dies = daemon.job("hog", memory="150M"), daemon.job("dies")
    row = daemon.until(dies["id"], "failed")
    assert "Failed to infer device type" in str(row["reason"])
    assert row["slurm_state"] == "FAILED"
    assert str(daemon.until(hog["id"], "failed")["reason"]).startswith("oom")


def test_a_job_that_somebody_else_cancels_is_cancelled(daemon: SlurmDaemon, slurm: Cluster) -> None:
    row = daemon.until(daemon.job()["id"], "running")
    slurm.run("scancel", str(row["job_id"]))
    daemon.until(row["id"], "cancelled", "failed")
    assert daemon.status(row["id"]) == "cancelled"


def test_drained_nodes_keep_a_job_waiting_with_the_reason(
    daemon: SlurmDaemon, slurm: Cluster
) -> None:
    slurm.run("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
    made = daemon.job()
    eventually(lambda: "PENDING: " in str(daemon.service(made["id"])["reason"]))
    assert daemon.status(made["id"]) == "pending"
    slurm.run("scontrol", "update", "nodename=n[1-2]", "state=resume")
    daemon.until(made["id"], "running")
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}")


def test_replicas_are_jobs_that_are_asked_in_turn(daemon: SlurmDaemon) -> None:
    group = daemon.create(replicas=2, config={"resources": SMALL})

    def all_run() -> bool:
        rows = daemon.service(group["id"])["replicas"]
        return isinstance(rows, list) and [row["status"] for row in rows] == ["running"] * 2

    eventually(all_run)
    asked = {daemon.prompt(group["id"]).json()["service_id"] for _ in range(2)}
    assert len(asked) == 2
    daemon.ask("DELETE", f"/api/v1/services/{group['id']}")


def test_the_daemons_death_loses_no_job(tmp_path: Path, slurm: Cluster) -> None:
    """MX3."""
    daemon = SlurmDaemon(tmp_path).at(slurm)
    with running(daemon):
        made, slow = daemon.job(), daemon.job("slow")
        before = daemon.until(made["id"], "running")
        daemon.until(slow["id"], "starting")
        daemon.stop(signal.SIGKILL)
        daemon.start(settled=False)
        after = daemon.until(made["id"], "running")
        assert (after["job_id"], after["port"]) == (before["job_id"], before["port"])
        assert daemon.prompt(made["id"]).status_code == 200
        (data_of(daemon, slow["id"]) / "go").touch()
        daemon.until(slow["id"], "running")
        daemon.stop(signal.SIGKILL)
        slurm.run("scancel", str(before["job_id"]))
        daemon.start(settled=False)
        daemon.until(made["id"], "cancelled")
        daemon.ask("DELETE", f"/api/v1/services/{slow['id']}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_jobs_go_on_when_the_daemon_is_stopped(
    tmp_path: Path, slurm: Cluster, transport: str
) -> None:
    daemon = SlurmDaemon(tmp_path).at(slurm, transport)
    with running(daemon):
        row = daemon.until(daemon.job()["id"], "running")
        assert daemon.stop() == 0
        assert slurm.job(row["job_id"])["job_state"] == "RUNNING"
        daemon.start()
        assert daemon.until(row["id"], "running")["job_id"] == row["job_id"]
        daemon.ask("DELETE", f"/api/v1/services/{row['id']}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_without_slurmctld_nothing_is_lost_and_everything_is_told(
    tmp_path: Path, fragile: Cluster, transport: str
) -> None:
    daemon = SlurmDaemon(tmp_path).at(fragile, transport)
    with running(daemon):
        kept, ended = daemon.job(), daemon.job()
        daemon.until(kept["id"], "running")
        job = daemon.until(ended["id"], "running")["job_id"]
        fragile.end("slurmctld")
        refused = daemon.ask("POST", "/api/v1/services", {"recipe_name": "inference/vllm"})
        assert refused.status_code == 503
        assert "slurmctld does not answer" in refused.json()["detail"]
        assert len(daemon.get("/api/v1/services").json()) == 2
        assert daemon.prompt(kept["id"]).status_code == 200
        late = daemon.ask("DELETE", f"/api/v1/services/{ended['id']}")
        assert late.status_code == 503
        assert daemon.status(ended["id"]) == "cancelled"
        assert daemon.status(kept["id"]) == "running"
        fragile.begin("slurmctld")
        eventually(lambda: fragile.job(job).get("job_state") == "CANCELLED")
        assert daemon.status(kept["id"]) == "running"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_restart_that_cannot_be_costs_no_service_that_runs(
    tmp_path: Path, fragile: Cluster, transport: str
) -> None:
    """slurmctld is down, then the partition takes no jobs: it goes on; then it is replaced."""
    with running(SlurmDaemon(tmp_path).at(fragile, transport)) as daemon:
        made = daemon.job()
        first = daemon.until(made["id"], "running")
        restart = f"/api/v1/services/{made['id']}/restart"
        fragile.end("slurmctld")
        refused = daemon.ask("POST", restart)
        assert refused.status_code == 503
        assert "goes on as it is" in refused.json()["detail"]
        fragile.begin("slurmctld")
        fragile.run("scontrol", "update", "partitionname=cpu", "state=inactive")
        refused = daemon.ask("POST", restart)
        assert refused.status_code == 400
        assert "goes on as it is" in refused.json()["detail"]
        assert daemon.prompt(made["id"]).json()["response"] == "You said: Hello"
        assert daemon.service(made["id"])["job_id"] == first["job_id"]
        fragile.run("scontrol", "update", "partitionname=cpu", "state=up")
        assert daemon.ask("POST", restart).status_code == 200
        row = daemon.until(made["id"], "running")
        assert row["job_id"] != first["job_id"]
        assert row["last_end"] == "started again by a user while running"
        assert fragile.job(first["job_id"])["job_state"] == "CANCELLED"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_end_of_which_the_cluster_has_not_heard_is_told_as_none(
    tmp_path: Path, fragile: Cluster, transport: str
) -> None:
    with running(SlurmDaemon(tmp_path).at(fragile, transport)) as daemon:
        made = daemon.job()
        row = daemon.until(made["id"], "running")
        fragile.end("slurmctld")
        for _ in range(2):
            told = daemon.ask("DELETE", f"/api/v1/services/{made['id']}")
            assert told.status_code == 503, told.text
            assert "as soon as the cluster answers" in told.json()["detail"]
        assert "still on its way out" in daemon.service(made["id"])["reason"]
        fragile.begin("slurmctld")
        eventually(lambda: fragile.job(row["job_id"])["job_state"] == "CANCELLED")
        eventually(lambda: daemon.service(made["id"])["reason"] == "stopped by a user")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_forgotten_job_is_lost_and_its_number_is_not_ours_any_more(
    tmp_path: Path, fragile: Cluster, transport: str
) -> None:
    daemon = SlurmDaemon(tmp_path).at(fragile, transport)
    with running(daemon):
        made = daemon.job()
        job = daemon.until(made["id"], "running")["job_id"]
        fragile.kill("slurmctld")
        shutil.rmtree(fragile.folder / "state")
        (fragile.folder / "state").mkdir()
        fragile.begin("slurmctld", "-c")
        row = daemon.until(made["id"], "failed", limit=50)
        assert "lost" in str(row["reason"])
        stranger = fragile.run(
            "sbatch", "--parsable", "--mem=50", "-o", "/dev/null", "--wrap", "sleep 50"
        ).strip()
        assert stranger == job, "SLURM hands the number out again"
        daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
        states = {str(fragile.job(stranger)["job_state"]) for _ in range(3)}
        assert states <= {"PENDING", "RUNNING"}


def test_without_sbatch_the_answer_names_what_is_missing(tmp_path: Path) -> None:
    daemon = SlurmDaemon(tmp_path)
    daemon.more = {"PATH": str(tmp_path), "ATOLL_ENGINE": "slurm"}
    with running(daemon):
        refused = daemon.ask("POST", "/api/v1/services", {"recipe_name": "inference/vllm"})
        assert refused.status_code == 503
        assert "`sbatch` is not on the daemon's PATH" in refused.json()["detail"]
        assert daemon.get("/api/v1/services").json() == []


@pytest.mark.timeout(150)
def test_a_job_whose_node_goes_away_waits_for_another(tmp_path: Path, fragile: Cluster) -> None:
    """SLURM notices after its SlurmdTimeout and queues the job again under its number."""
    daemon = SlurmDaemon(tmp_path).at(fragile)
    with running(daemon):
        row = daemon.until(daemon.job()["id"], "running")
        fragile.kill(f"slurmd-{row['node']}")
        gone = daemon.until(row["id"], "pending", "failed", limit=90)
        assert gone["reason"]
        assert gone["url"] is None or gone["status"] == "failed"


@pytest.mark.timeout(200)
@pytest.mark.parametrize("daemon", ["commands"], indirect=True)
def test_a_job_that_runs_over_its_time_has_failed(daemon: SlurmDaemon, overtime: object) -> None:
    """The last test of this file: what is left of the minute is waited for."""
    row = daemon.until(overtime, "failed", "cancelled", "completed", limit=180)
    assert (row["status"], row["slurm_state"]) == ("failed", "TIMEOUT"), row
    assert "TIMEOUT" in str(row["reason"])
