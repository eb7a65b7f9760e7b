"""An agent as a job: what sbatch is given, what is told while it waits, how it has ended."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from atoll.config.load import load_manifest
from atoll.errors import ClientError
from atoll_supervisor.core.agent_job import (
    JobOrder,
    JobRecord,
    check_fit,
    decoded,
    encoded,
    end_of,
    environment_of,
    order_of,
    script_of,
    spec_of,
    waiting_for,
)
from atoll_supervisor.core.services.batch import endpoint_of
from atoll_supervisor.core.services.job_spec import options_of
from atoll_supervisor.core.services.slurm_job import Job

HEAD = '[agent]\nname = "Alpha"\n[deployment]\nengine = "slurm"\n'
FULL = HEAD + (
    "start_timeout = 9\nstop_timeout = 8\n"
    '[resources]\ncpu_limit = 1.5\nmemory_limit = "512MB"\n'
    '[slurm]\npartition = "gpu"\naccount = "lab"\nqos = "low"\ntime_limit = 90\ngpu = 2\n'
)
RECORD = JobRecord(uuid="u-u", name="atoll-alpha-u", checksum="c", key="k")


def order(folder: Path, text: str = FULL) -> JobOrder:
    path = folder / "agent.toml"
    path.write_text(text)
    manifest = load_manifest(path, {}).manifest
    return order_of(manifest, "alpha", "/agents/al pha/agent.toml", "c", str(folder), "/py")


def test_what_the_manifest_asks_for_becomes_options_of_sbatch(tmp_path: Path) -> None:
    assert options_of(spec_of(order(tmp_path), RECORD, "/jobs/50%")) == [
        "--job-name=atoll-alpha-u",
        "--comment=atoll:u-u",
        "--output=/jobs/50%%/output.log",
        "--chdir=/agents/al pha",
        "--open-mode=append",
        "--nodes=1",
        "--cpus-per-task=2",
        "--mem=489M",
        "--gres=gpu:2",
        "--time=90",
        "--partition=gpu",
        "--account=lab",
        "--qos=low",
        "--no-requeue",
    ]


def test_what_is_not_asked_for_is_left_to_the_cluster(tmp_path: Path) -> None:
    options = options_of(spec_of(order(tmp_path, HEAD), RECORD, "/jobs"))
    assert not [one for one in options if one.startswith(("--mem", "--cpus", "--time", "--part"))]


def test_an_order_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = order(tmp_path)
    assert decoded(encoded(sent)) == sent
    assert (sent.start_timeout, sent.stop_timeout) == (9, 8)
    with pytest.raises(msgspec.MsgspecError):
        decoded("{}")


def test_the_script_becomes_the_agent_at_an_address_that_it_has_told(tmp_path: Path) -> None:
    """Run with a Python that only says its arguments; the folder has a name of its own."""
    folder = tmp_path / "a job's"
    folder.mkdir()
    says = tmp_path / "says"
    says.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    says.chmod(0o755)
    made = msgspec.structs.replace(order(tmp_path), python=str(says))
    script = folder / "job.sh"
    script.write_text(script_of(made, str(folder)))
    ran = subprocess.run(
        ["bash", str(script)],
        env={"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    place = endpoint_of((folder / "endpoint").read_text(), "7", 0)
    assert place is not None
    host, port = place
    agent = ["--agent", "/agents/al pha/agent.toml"]
    words = ["-m", "atoll", "--server", "--host", host, "--port", str(port), *agent]
    assert ran.stdout == "|".join(words) + "|"


def test_what_is_between_keeper_and_relay_is_not_the_jobs() -> None:
    given = {"ATOLL_SUPERVISED": "1", "LISTEN_FDS": "1", "ATOLL_CHANNEL_FD": "4", "KEY": "x"}
    assert environment_of(given) == {"KEY": "x"}


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (
            Job(job_id="7", states=("PENDING",), reason="Resources"),
            "job 7 waits in the queue (PENDING: Resources)",
        ),
        (Job(job_id="7", states=("PENDING",)), "job 7 waits in the queue (PENDING)"),
        (Job(job_id="7", states=("RUNNING",), reason="None"), ""),
    ],
)
def test_a_job_that_waits_says_why(job: Job, told: str) -> None:
    assert waiting_for(job) == told


@pytest.mark.parametrize(
    ("job", "code", "why"),
    [
        (
            Job(job_id="7", states=("FAILED",), exit_code=5 << 8, node="n1", reason="NonZeroExit"),
            5,
            "job 7 on n1 ended: FAILED (NonZeroExit): the last line",
        ),
        (Job(job_id="7", states=("TIMEOUT",), exit_code=9), 1, "job 7 ended: TIMEOUT: the last"),
        (Job(job_id="7", states=("NODE_FAIL",)), 1, "job 7 ended: NODE_FAIL"),
        (Job(job_id="7", states=("OUT_OF_MEMORY",)), 1, "job 7 ended: oom: "),
        (Job(job_id="7", states=("CANCELLED",)), 1, "job 7 ended: its job was cancelled"),
        (Job(job_id="7", states=("COMPLETED",)), 1, "job 7 ended: COMPLETED"),
        (None, 1, "job 7 is lost: "),
    ],
)
def test_an_end_that_nobody_asked_for_is_a_failure_with_slurms_reason(
    job: Job | None, code: int, why: str
) -> None:
    end = end_of(job, "7", "first\nthe last line\n")
    assert end.code == code
    assert end.why.startswith(why)


def test_a_model_of_this_machine_is_out_of_a_jobs_reach(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD)
    manifest = load_manifest(path, {}).manifest
    check_fit(manifest, "openai")
    with pytest.raises(ClientError, match="give \\[llm\\] a base_url"):
        check_fit(manifest, "local")
