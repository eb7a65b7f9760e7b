"""SLURM's words as states, one row of seeds-contract.md 5.3 each (MX1); what sbatch is given."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from atoll.adapters.listening import listen, port_of
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.batch import (
    endpoint_of,
    environment_of,
    script_of,
    spec_of,
)
from atoll_supervisor.core.services.job_spec import options_of
from atoll_supervisor.core.services.machine import step
from atoll_supervisor.core.services.record import Record, Status
from atoll_supervisor.core.services.slurm_job import (
    Job,
    Seen,
    evidence_of,
    job_of_completion,
    jobs_of,
)
from tests.core.test_services_machine import ORDER, record

SLURM = record(engine="slurm")
WELL = Seen(host="n1", port=8001, answers=True)
SILENT = Seen(host="n1", port=8001, silence="Connection refused")
OOM = "slurmstepd: error: Step 3.batch exceeded memory limit (419430400 > 104857600), being killed"


def status(*states: str, seen: Seen = WELL, before: Status = "running") -> tuple[Status, str]:
    one = replace(SLURM, status=before)
    after, _ = step(one, evidence_of(Job(job_id="1", states=states, reason="None"), seen), 0)
    return after.status, after.reason


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("PENDING",), "pending"),
        (("CONFIGURING",), "pending"),
        (("RUNNING",), "running"),
        (("COMPLETING",), "running"),
        (("COMPLETED",), "completed"),
        (("FAILED",), "failed"),
        (("NODE_FAIL",), "failed"),
        (("TIMEOUT",), "failed"),
        (("PREEMPTED",), "failed"),
        (("CANCELLED",), "cancelled"),
        (("CANCELLED by 0",), "cancelled"),
        (("OUT_OF_MEMORY",), "failed"),
        (("BOOT_FAIL",), "failed"),
        (("DEADLINE",), "failed"),
        (("LAUNCH_FAILED",), "failed"),
        (("SUSPENDED",), "starting"),
        (("STOPPED",), "starting"),
        (("REQUEUED",), "pending"),
        (("REQUEUE_HOLD",), "pending"),
        (("SPECIAL_EXIT",), "failed"),
        (("REVOKED",), "failed"),
        (("RESIZING",), "running"),
        (("SIGNALING",), "running"),
        (("STAGE_OUT",), "running"),
        (("SOMETHING_NEW",), "running"),
        (("RUNNING", "COMPLETING"), "running"),
        (("PENDING", "REQUEUED"), "pending"),
        (("FAILED", "COMPLETING"), "running"),
    ],
)
def test_each_word_of_slurm_is_one_state(states: tuple[str, ...], expected: Status) -> None:
    assert status(*states)[0] == expected


def test_running_is_said_only_of_a_server_that_answers() -> None:
    assert status("RUNNING", seen=SILENT) == ("starting", "Connection refused")
    assert status("RUNNING", seen=Seen(), before="pending")[0] == "starting"


def test_an_image_that_is_being_built_is_building() -> None:
    building = Seen(output="Building Apptainer image x.sif\n")
    built = Seen(output="Building Apptainer image\nContainer build successful\n")
    assert status("RUNNING", seen=building, before="pending")[0] == "building"
    assert status("RUNNING", seen=built, before="building")[0] == "starting"


@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "FAILED"])
def test_too_much_memory_is_told_as_oom_with_and_without_the_cgroup_plugin(state: str) -> None:
    found, reason = status(state, seen=Seen(output=OOM))
    assert found == "failed"
    assert reason.startswith("oom")


def test_a_failure_keeps_slurms_reason_and_the_jobs_last_words() -> None:
    job = Job(job_id="1", states=("FAILED",), reason="NonZeroExitCode")
    after, _ = step(SLURM, evidence_of(job, Seen(output="a\nRuntimeError: no GPU\n\n")), 0)
    assert after.reason == "FAILED (NonZeroExitCode): RuntimeError: no GPU"
    assert after.state == "FAILED"


def test_both_shapes_of_squeues_json_are_read() -> None:
    old = {
        "job_id": 7,
        "job_state": "RUNNING",
        "comment": "atoll:abc",
        "cluster": "c",
        "state_reason": "None",
        "nodes": "n1",
        "batch_host": "n1",
        "submit_time": 5,
        "exit_code": 1792,
        "restart_cnt": 2,
        "unknown": {},
    }
    number = {"set": True, "infinite": False, "number": 5}
    new = {
        **old,
        "job_state": ["RUNNING", "COMPLETING"],
        "submit_time": number,
        "exit_code": {"status": ["SUCCESS"], "return_code": number},
        "comment": None,
    }
    one, two = jobs_of(msgspec.json.encode({"jobs": [old, new], "meta": {}}))
    assert (one.uuid, one.state, one.submitted, one.restarts) == ("abc", "RUNNING", 5, 2)
    assert (two.uuid, two.state, two.submitted, two.exit_code) == ("", "COMPLETING", 5, 5)


def test_a_line_of_the_completion_file_is_a_job() -> None:
    line = "JobId=9 UserId=root(0) Name=vllm-ab JobState=TIMEOUT NodeList=n1 ExitCode=0:9 "
    job = job_of_completion(line)
    assert job is not None
    assert (job.job_id, job.state, job.node, job.is_over) == ("9", "TIMEOUT", "n1", True)
    assert job_of_completion("nonsense") is None


def placed(**resources: object) -> Record:
    order = replace(
        ORDER,
        command=("server", "{MODEL}", "--at={host}:{port}"),
        values={"MODEL": "it's $(id) `x` @FILE@ @WORDS@"},
        environment={"KEY": "{key}", "URL": "http://{host}:{port}/"},
        resources=msgspec.convert(resources, Resources),
    )
    return replace(SLURM, order=order)


def test_memory_is_the_jobs_whole_and_never_per_cpu() -> None:
    """MX2."""
    asked = placed(memory=32 * 1024**3, cpu=8.0, gpu=1, time_limit=60)
    options = options_of(spec_of(asked, "a%b", "f"))
    assert "--mem=32768M" in options
    assert {"--cpus-per-task=8", "--gres=gpu:1", "--time=60", "--output=a%%b"} < set(options)
    assert not [one for one in options if "mem-per-cpu" in one]


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    names = {option.partition("=")[0] for option in options_of(spec_of(placed(), "l", "f"))}
    assert not names & {"--mem", "--gres", "--time", "--partition", "--account", "--qos"}


def test_no_value_gets_out_of_its_word_in_the_script(tmp_path: Path) -> None:
    """The script is run by a real bash, with a server that prints what it was given."""
    server = tmp_path / "server"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "$URL"\n')
    server.chmod(0o755)
    folder = str(tmp_path / "it's here")
    Path(folder).mkdir()
    script = script_of(placed(), {"key": "k"}, folder)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_JOB_ID": "12",
        **environment_of(placed(), {"key": "k"}),
    }
    done = subprocess.run(
        ["bash"], input=script, env=environ, capture_output=True, text=True, timeout=20
    )
    job, restarts, host, port = (Path(folder) / "endpoint").read_text().split()
    assert (job, restarts) == ("12", "0")
    assert done.stdout.splitlines() == [
        "it's $(id) `x` @FILE@ @WORDS@",
        f"--at={host}:{port}",
        f"http://{host}:{port}/",
    ]


def test_a_port_that_the_recipe_names_and_somebody_has_ends_the_job_with_its_number(
    tmp_path: Path,
) -> None:
    """Else the one that has it would be asked for this one's health."""
    sinfo = tmp_path / "sinfo"
    sinfo.write_text("#!/bin/sh\necho 127.0.0.1\n")
    sinfo.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "12"}
    with listen("127.0.0.1", 0) as other:
        port = port_of(other)
        order = replace(ORDER, command=("echo", "{port}", "{SLURM_JOB_ID}"), port=port)
        script = script_of(replace(SLURM, order=order), {}, str(tmp_path))
        done = subprocess.run(
            ["bash"], input=script, env=environ, capture_output=True, text=True, timeout=20
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {port}, which its recipe names, is in use on" in done.stderr
    assert not (tmp_path / "endpoint").exists()
    done = subprocess.run(
        ["bash"], input=script, env=environ, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (0, f"{port} 12\n")


def test_building_is_told_by_its_folder_and_not_counted_as_a_start() -> None:
    """Its own words in the log may be far up by then; its start limit is for its server."""
    begun = replace(SLURM, status="starting", starting_since=0.0)
    job = Job(job_id="1", states=("RUNNING",))
    after, stop = step(begun, evidence_of(job, Seen(builds=True)), 10_000)
    assert (after.status, after.starting_since, stop) == ("building", None, False)


def test_only_the_endpoint_of_this_very_start_counts() -> None:
    assert endpoint_of("12 0 127.0.0.1 20084\n", "12", 0) == ("127.0.0.1", 20084)
    assert endpoint_of("12 0 127.0.0.1 20084", "12", 1) is None
    assert endpoint_of("12 0 127.0.0.1 20084", "13", 0) is None
    assert endpoint_of("", "12", 0) is None
