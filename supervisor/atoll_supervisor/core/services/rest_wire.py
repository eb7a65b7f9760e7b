"""slurmrestd's JSON: a job as it wants it, and what its answers mean.

Up to v0.0.38 a job is described by sbatch's options with plain values, from
v0.0.39 on by SLURM's own record with numbers that say whether they are set
(slurmrestd(8); v0.0.38 of SLURM 22.05 is what our tests run against).
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.job_spec import JobSpec

UNKNOWN_JOB, OVER_ALREADY = 2017, 2021
"""slurm_errno.h: there is no such job; it is ending or has ended."""
NOT_REACHED = (1001, 1800)
"""slurm_errno.h: slurmctld cannot be connected to."""
REFUSALS = (*range(2000, 3000), *range(9000, 10_000))
"""slurm_errno.h: slurmctld's answers to a request, and slurmrestd's to its form."""
NOT_THE_REQUEST = frozenset({2007, 2019, 2026, 2027, 2090, 2103, 2131})
"""Those that tell of slurmctld's own trouble: standby, a full disk, "try again"."""
FIRST_OF_RECORDS = 39
_SUBMIT = re.compile(r"/slurm/(v[0-9]+\.[0-9]+\.[0-9]+)/job/submit", re.ASCII)
_VAGUE = "Unspecified error"


class Fault(Struct, frozen=True):
    """One error of an answer; number 0 where there is none."""

    number: int
    words: str


class _Document(Struct):
    paths: dict[str, msgspec.Raw]


class _Error(Struct):
    error: str | None = ""
    description: str | None = ""
    error_number: int | None = 0
    error_code: int | None = 0


class _Answer(Struct):
    errors: list[_Error] | None = None


class _Result(Struct):
    job_id: int | str | None = None


class _Submitted(_Result):
    result: _Result | None = None


def newest_of(document: bytes) -> str:
    """The newest version of the interface in its OpenAPI document, as `v0.0.38`; "" for none.

    Raises msgspec.MsgspecError when it is no such document.
    """
    paths = msgspec.json.decode(document, type=_Document).paths
    found = [match[1] for match in map(_SUBMIT.fullmatch, paths) if match]
    return max(found, key=_numbers, default="")


def body_of(spec: JobSpec, script: str, environment: Mapping[str, str], version: str) -> JsonObject:
    """The body of `job/submit`; what is 0 or "" is left out."""
    by_record = _numbers(version)[2] >= FIRST_OF_RECORDS
    job: JsonObject = {
        "name": spec.name,
        "comment": spec.comment,
        "standard_output": spec.output_pattern,
        "current_working_directory": spec.folder,
        "tasks": spec.nodes,
        "cpus_per_task": spec.cpus,
        "partition": spec.partition,
        "account": spec.account,
        "qos": spec.qos,
        "dependency": spec.dependency,
        **(_by_record(spec, version) if by_record else _by_options(spec)),
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    job = {name: value for name, value in job.items() if value}
    if not spec.requeue:
        job["requeue"] = False
    job["environment"] = [*variables] if by_record else {**environment}
    return {"script": script, "job": job}


def job_id_of(answer: bytes) -> str:
    """The number of the job that was queued, "" when none was; raises msgspec.MsgspecError.

    An answer may hold errors and a job all the same: it waits, and they say for what.
    """
    said = msgspec.json.decode(answer, type=_Submitted)
    found = said.job_id or (said.result.job_id if said.result else None)
    return str(found or "")


def faults_of(answer: bytes) -> tuple[Fault, ...]:
    """The errors in an answer; one that is no JSON is an error itself."""
    try:
        errors = msgspec.json.decode(answer, type=_Answer).errors or []
    except msgspec.MsgspecError:
        lines = answer.decode(errors="replace").strip().splitlines()
        return (Fault(0, lines[0][:300] if lines else "an empty answer"),)
    return tuple(Fault(one.error_number or one.error_code or 0, _words(one)) for one in errors)


def told(faults: tuple[Fault, ...]) -> str:
    """Their sentences in one line."""
    return "; ".join(dict.fromkeys(fault.words for fault in faults)) or "no word"


def is_refusal(faults: tuple[Fault, ...]) -> bool:
    """Whether the request itself is refused, and will be the next time too."""
    return any(fault.number in REFUSALS for fault in faults) and not any(
        fault.number in NOT_THE_REQUEST for fault in faults
    )


def is_untouched(faults: tuple[Fault, ...]) -> bool:
    """Whether a request that failed has surely changed nothing."""
    return any(fault.number in (*NOT_REACHED, *REFUSALS) for fault in faults)


def _by_options(spec: JobSpec) -> JsonObject:
    return {
        "nodes": spec.nodes,
        "memory_per_node": spec.memory,
        "gres": f"gpu:{spec.gpus}" if spec.gpus else "",
        "time_limit": spec.time_limit,
        "open_mode": "append",
    }


def _by_record(spec: JobSpec, version: str) -> JsonObject:
    gpus = f"gres:gpu:{spec.gpus}" if _numbers(version)[2] == 39 else f"gres/gpu:{spec.gpus}"
    return {
        "nodes": str(spec.nodes),
        "memory_per_node": _set(spec.memory),
        "tres_per_node": gpus if spec.gpus else "",
        "time_limit": _set(spec.time_limit),
        "open_mode": ["APPEND"],
    }


def _set(number: int) -> JsonObject:
    return {"set": True, "infinite": False, "number": number} if number else {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("v").split(".")))


def _words(error: _Error) -> str:
    """Its description and its error, unless one says nothing or says the other."""
    about, what = error.description or "", error.error or ""
    if what in ("", _VAGUE) or what in about:
        return about or what or "an error without words"
    return f"{about}: {what}" if about else what
