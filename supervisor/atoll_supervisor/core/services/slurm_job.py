"""SLURM's words for a job, and the states of a service that they mean.

The table is seeds-contract.md 5.3, by whole words and never by parts of them.
`squeue --json` and slurmrestd tell states and numbers in different shapes in
different releases (system.md 4.2); both are read.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from atoll_supervisor.core.services.evidence import (
    Building,
    Ended,
    Evidence,
    Kept,
    Queued,
    Up,
)

SCHEME = "atoll"
"""First word of a job's comment, after which our uuid stands: numbers are handed out again."""

WAITING = frozenset(
    {"PENDING", "PD", "CONFIGURING", "CF", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"}
)
PAUSED = frozenset({"SUSPENDED", "STOPPED"})
BETWEEN = frozenset({"COMPLETING", "CG", "RESIZING", "SIGNALING", "STAGE_OUT"})
FAILED = frozenset(
    {
        "FAILED",
        "NODE_FAIL",
        "TIMEOUT",
        "PREEMPTED",
        "OUT_OF_MEMORY",
        "BOOT_FAIL",
        "DEADLINE",
        "LAUNCH_FAILED",
        "SPECIAL_EXIT",
        "REVOKED",
        "RECONFIG_FAIL",
    }
)
FLAGS = ("REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", *sorted(BETWEEN))
"""Words that newer releases set beside a base state, and that say more than it."""
OOM_WORDS = ("exceeded memory limit", "oom-kill", "oom_kill", "Out Of Memory")
BUILDING, BUILT = "Building Apptainer image", ("Container build successful", "Starting container")
MISSES = 3
"""Looks in a row that must not find a job before it counts as lost, or as never queued."""
LOST = "lost: the cluster knows nothing of its job any more"


class Job(Struct, frozen=True, kw_only=True):
    """One job as the cluster tells it; times in seconds since the epoch."""

    job_id: str
    states: tuple[str, ...]
    name: str = ""
    comment: str = ""
    cluster: str = ""
    reason: str = ""
    node: str = ""
    submitted: float = 0.0
    exit_code: int = 0
    restarts: int = 0

    @property
    def state(self) -> str:
        """The one word that says most: a flag if there is one, else the base state."""
        for flag in FLAGS:
            if flag in self.states:
                return flag
        return self.states[0] if self.states else ""

    @property
    def uuid(self) -> str:
        """Ours, "" for a stranger's job."""
        scheme, _, uuid = self.comment.partition(":")
        return uuid if scheme == SCHEME else ""

    @property
    def is_running(self) -> bool:
        """Whether it has its resources, and is not paused or on its way out."""
        return self.state in ("RUNNING", "R")

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will."""
        return self.state in FAILED or self.state in ("COMPLETED", "CD", "CANCELLED", "CA")


class Seen(Struct, frozen=True, kw_only=True):
    """What was found out beside the queue: the job's last output, its endpoint, its answer.

    `builds` tells whether it is at its image, as its own folder says.
    """

    output: str = ""
    builds: bool = False
    host: str = ""
    port: int | None = None
    answers: bool = False
    silence: str = ""


class _Number(Struct):
    number: float = 0.0


class _Exit(Struct):
    return_code: _Number = msgspec.field(default_factory=_Number)


class _Raw(Struct):
    job_id: int
    job_state: str | list[str]
    name: str | None = ""
    comment: str | None = ""
    cluster: str | None = ""
    state_reason: str | None = ""
    nodes: str | None = ""
    batch_host: str | None = ""
    submit_time: float | _Number = 0.0
    exit_code: int | _Exit | None = 0
    restart_cnt: int | None = 0


class _Queue(Struct):
    jobs: list[_Raw]


def jobs_of(data: bytes) -> tuple[Job, ...]:
    """The jobs in squeue's or slurmrestd's JSON; raises msgspec.MsgspecError when it is none."""
    return tuple(map(_job, msgspec.json.decode(data, type=_Queue).jobs))


def by_mark(jobs: Iterable[Job]) -> Mapping[str, Sequence[Job]]:
    """The jobs that have a mark of ours, by it."""
    marked: dict[str, list[Job]] = {}
    for job in jobs:
        if job.uuid:
            marked.setdefault(job.uuid, []).append(job)
    return marked


def job_of(marked: Mapping[str, Sequence[Job]], uuid: str, job_id: str) -> Job | None:
    """The job of this mark and number; while no number is known, the one that was there first.

    Whoever sees the queue can give a job of their own our mark, but not before us.
    """
    found = marked.get(uuid, ())
    if job_id:
        return next((job for job in found if job.job_id == job_id), None)
    return min(found, key=lambda job: (job.submitted, int(job.job_id)), default=None)


def job_of_completion(line: str) -> Job | None:
    """A job in a line of SLURM's job completion file (jobcomp/filetxt)."""
    parts = (part.partition("=") for part in line.split(" "))
    fields = {name: value for name, _, value in parts}
    if not fields.get("JobId", "").isdecimal() or not fields.get("JobState"):
        return None
    code = fields.get("ExitCode", "0:0").partition(":")[0]
    return Job(
        job_id=fields["JobId"],
        states=(fields["JobState"],),
        name=fields.get("Name", ""),
        node=fields.get("NodeList", ""),
        exit_code=int(code) if code.isdecimal() else 0,
    )


def evidence_of(job: Job, seen: Seen) -> Evidence:
    """What the job's state says of the service."""
    state = job.state
    if state in WAITING:
        return Queued(f"{state}: {job.reason}" if job.reason not in ("", "None") else state, state)
    if state in BETWEEN:
        return Kept(state)
    if job.is_running:
        return _running(job, seen)
    if state in PAUSED:
        return Up(answers=False, reason=f"its job is {state}", state=state, node=job.node)
    if state in ("COMPLETED", "CD"):
        return Ended("completed", "", state)
    if state.split(" ")[0] in ("CANCELLED", "CA"):
        return Ended("cancelled", "its job was cancelled", state)
    if state in FAILED:
        return Ended("failed", _why(job, seen), state)
    return Kept(state)


def _running(job: Job, seen: Seen) -> Evidence:
    told = BUILDING in seen.output and not any(word in seen.output for word in BUILT)
    if seen.builds or told:
        return Building(job.state)
    return Up(
        answers=seen.answers,
        reason=seen.silence,
        state=job.state,
        node=job.node,
        host=seen.host,
        port=seen.port,
        restarts=job.restarts,
    )


def _why(job: Job, seen: Seen) -> str:
    """SLURM's reason; without its cgroup plugin it tells of too much memory in the output alone."""
    if job.state == "OUT_OF_MEMORY" or any(word in seen.output for word in OOM_WORDS):
        return "oom: it used more memory than it asked for"
    said = next((line for line in reversed(seen.output.splitlines()) if line.strip()), "")
    reason = "" if job.reason in ("", "None") else f" ({job.reason})"
    last = f": {said[:300]}" if said else ""
    return f"{job.state}{reason}{last}"


def _job(raw: _Raw) -> Job:
    states = (raw.job_state,) if isinstance(raw.job_state, str) else tuple(raw.job_state)
    code = raw.exit_code
    return Job(
        job_id=str(raw.job_id),
        states=tuple(state.upper() for state in states),
        name=raw.name or "",
        comment=raw.comment or "",
        cluster=raw.cluster or "",
        reason=raw.state_reason or "",
        node=raw.batch_host or raw.nodes or "",
        submitted=raw.submit_time.number
        if isinstance(raw.submit_time, _Number)
        else raw.submit_time,
        exit_code=int(code.return_code.number) if isinstance(code, _Exit) else code or 0,
        restarts=raw.restart_cnt or 0,
    )
