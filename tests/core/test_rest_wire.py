"""slurmrestd's JSON in the shapes of old and new releases; what its errors mean.

The answers are those of slurmrestd 22.05.8 (v0.0.38), shortened, unless a test says otherwise.
"""

import msgspec
import pytest
from msgspec.structs import replace

from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.rest_wire import (
    body_of,
    faults_of,
    is_refusal,
    is_untouched,
    job_id_of,
    newest_of,
    told,
)
from atoll_supervisor.core.services.slurm_job import jobs_of

SPEC = JobSpec(
    name="vllm-1",
    comment="atoll:abc",
    output="/s/100%/j.log",
    folder="/s",
    cpus=3,
    memory=600,
    gpus=2,
    time_limit=60,
    partition="gpu",
)
META = b'"meta":{"plugin":{"type":"openapi/v0.0.38"},"Slurm":{"release":"22.05.8"}}'
QUEUED = b'{%b,"errors":[],"job_id":2,"step_id":"BATCH","job_submit_user_msg":""}' % META
WAITS = (
    b'{%b,"errors":[{"error_code":2015,"error":"Requested partition configuration not available'
    b' now"}],"job_id":5,"step_id":"BATCH","job_submit_user_msg":""}' % META
)
IMPOSSIBLE = (
    b'{%b,"errors":[{"error_code":2014,"error":"Requested node configuration is not available"}]}'
    % META
)
UNPARSED = (
    b'{%b,"errors":[{"description":"Unknown key \\"nonsense\\"","source":"hsearch_r"},'
    b'{"error_code":9001,"error":"Failure during parsing"}]}' % META
)
UNREACHED = (
    b'{%b,"errors":[{"description":"unable to kill JobId=2 with signal 9: Unable to contact slurm'
    b' controller (connect failure)","error_number":1800,"error":"Unable to contact slurm'
    b' controller (connect failure)","source":"slurm_kill_job"}]}' % META
)
NO_JOBS = (
    b'{%b,"errors":[{"description":"Failed while looking for jobs","error_number":-1,'
    b'"error":"Unspecified error","source":"slurm_load_jobs"}],"jobs":[]}' % META
)
NO_SUCH_JOB = (
    b'{%b,"errors":[{"description":"Unable to find JobId=777","error_number":2017,'
    b'"error":"Invalid job id specified","source":"slurm_load_job"}],"jobs":[]}' % META
)
JOBS = (
    b'{%b,"errors":[],"jobs":[{"batch_host":"n1","cluster":"atoll","comment":"atoll:abc",'
    b'"exit_code":0,"job_id":4,"job_state":"RUNNING","name":"a1","nodes":"n1","restart_cnt":0,'
    b'"standard_output":"/s/%%j.log","state_reason":"None","submit_time":1795290339,'
    b'"array_task_id":null,"time_limit":60}]}' % META
)


def paths(*names: str) -> bytes:
    return msgspec.json.encode({"info": {}, "paths": {name: {"get": {}} for name in names}})


def test_the_newest_version_that_takes_jobs_is_spoken() -> None:
    """By its number: as a text v0.0.9 would be the newest."""
    offered = [f"/slurm/v0.0.{n}/job/submit" for n in (36, 9, 38, 37)]
    more = ("/slurm/v0.0.40/ping", "/slurmdb/v0.0.41/job/submit", "/openapi.json")
    assert newest_of(paths(*offered, *more)) == "v0.0.38"
    assert newest_of(paths("/slurm/v0.0.38/ping")) == ""
    with pytest.raises(msgspec.MsgspecError):
        newest_of(b"Unable find requested URL.")


def test_a_job_is_described_by_sbatchs_options_up_to_v38() -> None:
    assert body_of(SPEC, "#!/bin/bash\n", {"PATH": "/bin", "K": "v=1"}, "v0.0.38") == {
        "script": "#!/bin/bash\n",
        "job": {
            "name": "vllm-1",
            "comment": "atoll:abc",
            "standard_output": "/s/100%%/j.log",
            "current_working_directory": "/s",
            "tasks": 1,
            "cpus_per_task": 3,
            "partition": "gpu",
            "nodes": 1,
            "memory_per_node": 600,
            "gres": "gpu:2",
            "time_limit": 60,
            "open_mode": "append",
            "environment": {"PATH": "/bin", "K": "v=1"},
        },
    }


@pytest.mark.parametrize(
    ("version", "gpus"), [("v0.0.39", "gres:gpu:2"), ("v0.0.41", "gres/gpu:2")]
)
def test_a_job_is_described_by_slurms_own_record_from_v39_on(version: str, gpus: str) -> None:
    """By SLURM's documents; no such release has been tried."""
    job = body_of(SPEC, "", {"PATH": "/bin", "K": "v=1"}, version)["job"]
    assert isinstance(job, dict)
    assert job["environment"] == ["PATH=/bin", "K=v=1"]
    assert job["memory_per_node"] == {"set": True, "infinite": False, "number": 600}
    assert job["time_limit"] == {"set": True, "infinite": False, "number": 60}
    assert (job["nodes"], job["open_mode"]) == ("1", ["APPEND"])
    assert job["tres_per_node"] == gpus
    assert "gres" not in job


@pytest.mark.parametrize("version", ["v0.0.38", "v0.0.40"])
def test_what_is_not_asked_for_is_left_to_the_cluster(version: str) -> None:
    least = replace(SPEC, cpus=0, memory=0, gpus=0, time_limit=0, partition="")
    job = body_of(least, "", {}, version)["job"]
    assert isinstance(job, dict)
    left = {"cpus_per_task", "memory_per_node", "gres", "tres_per_node", "time_limit", "partition"}
    assert not left & set(job)


def test_the_number_of_a_job_is_read_from_both_shapes() -> None:
    assert job_id_of(QUEUED) == "2"
    assert job_id_of(b'{"result":{"job_id":7,"error_code":0},"errors":[]}') == "7"
    assert job_id_of(IMPOSSIBLE) == ""


def test_a_job_that_only_waits_is_no_refusal() -> None:
    """More CPUs than any node has: sbatch queues such a job, too."""
    assert job_id_of(WAITS) == "5"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (IMPOSSIBLE, "Requested node configuration is not available"),
        (UNPARSED, 'Unknown key "nonsense"; Failure during parsing'),
    ],
)
def test_an_impossible_job_is_refused_in_the_clusters_words(answer: bytes, words: str) -> None:
    """With HTTP status 500 and 400: only the numbers tell it from a cluster that is away."""
    faults = faults_of(answer)
    assert told(faults) == words
    assert is_refusal(faults)
    assert is_untouched(faults)


def test_a_controller_that_is_away_refuses_nothing() -> None:
    faults = faults_of(UNREACHED)
    assert not is_refusal(faults)
    assert is_untouched(faults)
    assert told(faults).endswith("Unable to contact slurm controller (connect failure)")
    assert told(faults).count("Unable to contact") == 1


@pytest.mark.parametrize("number", [2027, 2131, 2007])
def test_a_controller_in_trouble_refuses_nothing(number: int) -> None:
    answer = msgspec.json.encode({"errors": [{"error_number": number, "error": "standby"}]})
    assert not is_refusal(faults_of(answer))


@pytest.mark.parametrize("number", [1802, 5004, -1])
def test_an_answer_that_slurmctld_did_not_give_may_have_changed_something(number: int) -> None:
    answer = msgspec.json.encode({"errors": [{"error_number": number, "error": "timed out"}]})
    assert not is_untouched(faults_of(answer))


def test_an_empty_queue_with_an_error_is_not_an_empty_queue() -> None:
    (fault,) = faults_of(NO_JOBS)
    assert (fault.number, fault.words) == (-1, "Failed while looking for jobs")


def test_a_job_that_is_not_there_is_told_by_its_number() -> None:
    assert [fault.number for fault in faults_of(NO_SUCH_JOB)] == [2017]


def test_what_is_no_json_is_an_error() -> None:
    text = b"Unable find requested URL. Please view /openapi/v3 for API reference."
    assert told(faults_of(text)).startswith("Unable find requested URL")
    assert told(faults_of(b"")) == "an empty answer"
    assert faults_of(QUEUED) == faults_of(b"{}") == ()


def test_slurmrestds_jobs_are_squeues_jobs() -> None:
    (job,) = jobs_of(JOBS)
    assert (job.job_id, job.name, job.uuid, job.state) == ("4", "a1", "abc", "RUNNING")
    assert (job.node, job.submitted, job.exit_code) == ("n1", 1795290339, 0)
