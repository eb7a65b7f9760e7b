"""An agent as a job of a cluster: what its relay is told, what sbatch is given, how a job ended."""

from collections.abc import Mapping
from math import ceil

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from atoll.config.manifest import Manifest
from atoll.config.sizes import bytes_of
from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import MIB
from atoll_supervisor.core.services.batch import (
    ENDPOINT,
    HOST_WORD,
    PORT_WORD,
    script_becoming,
)
from atoll_supervisor.core.services.evidence import Ended
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.slurm_job import (
    LOST,
    SCHEME,
    WAITING,
    Job,
    Seen,
    evidence_of,
)

OUTPUT, SCRIPT = "output.log", "job.sh"
"""Files in the folder of a job, beside `batch.ENDPOINT`."""
IN_QUEUE = "waits in the queue"
"""What the reason of an agent says whose job has no resources yet."""
SILENCE = 15.0
"""Seconds without a pulse after which a job that served is lost: longer than a network stumbles."""
NOT_PASSED_ON = frozenset(
    {"ATOLL_SUPERVISED", "ATOLL_CHANNEL_FD", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
)
"""Between the keeper and the relay."""


class JobOrder(Struct, frozen=True, kw_only=True):
    """What the relay of an agent is told. Times in seconds.

    `folder` holds a folder for each job of this agent. A job with another
    `checksum` runs something else than what is wanted now. `spec` has what every
    job of it asks for.
    """

    slug: str
    manifest: str
    checksum: str
    folder: str
    python: str
    start_timeout: float
    stop_timeout: float
    spec: JobSpec


class JobRecord(Struct, frozen=True, kw_only=True):
    """One job as its folder remembers it; `job_id` is "" until sbatch has told it.

    `leaving` is set when it was told to end: nobody takes it over.
    """

    uuid: str
    name: str
    checksum: str
    key: str
    job_id: str = ""
    leaving: bool = False


class End(Struct, frozen=True):
    """How a relay ends: its exit code, and the last line of its standard error."""

    code: int
    why: str = ""


def order_of(
    manifest: Manifest, slug: str, path: str, checksum: str, folder: str, python: str
) -> JobOrder:
    """The order for an agent whose manifest says `engine = "slurm"`."""
    asked, deployment, slurm = manifest.resources, manifest.deployment, manifest.slurm
    memory = 0 if asked.memory_limit is None else bytes_of(asked.memory_limit)
    return JobOrder(
        slug=slug,
        manifest=path,
        checksum=checksum,
        folder=folder,
        python=python,
        start_timeout=deployment.start_timeout,
        stop_timeout=deployment.stop_timeout,
        spec=JobSpec(
            name="",
            comment="",
            output="",
            folder="",
            cpus=ceil(asked.cpu_limit or 0),
            memory=ceil(memory / MIB),
            gpus=slurm.gpu,
            time_limit=slurm.time_limit or 0,
            partition=slurm.partition,
            account=slurm.account,
            qos=slurm.qos,
        ),
    )


def encoded(order: JobOrder) -> str:
    """As the relay's command line has it."""
    return msgspec.json.encode(order).decode()


def decoded(text: str) -> JobOrder:
    """Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=JobOrder)


def spec_of(order: JobOrder, record: JobRecord, folder: str) -> JobSpec:
    """What is asked of the cluster.

    A job that loses its node is not queued again: its relay ends with it, and the
    daemon decides what follows.
    """
    return replace(
        order.spec,
        name=record.name,
        comment=f"{SCHEME}:{record.uuid}",
        output=f"{folder}/{OUTPUT}",
        folder=order.manifest.rpartition("/")[0],
        requeue=False,
    )


def script_of(order: JobOrder, folder: str) -> str:
    """The batch script, which becomes the agent."""
    where = ("--host", HOST_WORD, "--port", PORT_WORD)
    words = (order.python, "-m", "atoll", "--server", *where, "--agent", order.manifest)
    return script_becoming(words, f"{folder}/{ENDPOINT}")


def environment_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The relay's own variables as the job gets them."""
    return {name: value for name, value in environ.items() if name not in NOT_PASSED_ON}


def waiting_for(job: Job) -> str:
    """Why a job does not run yet, "" when it does."""
    if job.state not in WAITING:
        return ""
    reason = "" if job.reason in ("", "None") else f": {job.reason}"
    return f"job {job.job_id} {IN_QUEUE} ({job.state}{reason})"


def end_of(job: Job | None, job_id: str, output: str) -> End:
    """How a job that nobody asked to end has ended, which is never a good end.

    `job` is None when the cluster has forgotten it, `output` is the end of what it wrote.
    """
    if job is None:
        return End(1, f"job {job_id} is {LOST}")
    seen = evidence_of(job, Seen(output=output))
    why = seen.reason if isinstance(seen, Ended) else ""
    where = f" on {job.node}" if job.node else ""
    return End(_exit_code(job), f"job {job.job_id}{where} ended: {why or job.state}")


def _exit_code(job: Job) -> int:
    """From a wait status, or from the code itself in newer releases; always that of a failure."""
    code = job.exit_code >> 8 if job.exit_code > 255 else 0
    return code or 1


def check_fit(manifest: Manifest, backend: str) -> None:
    """Raise ClientError when this agent can be no job."""
    if manifest.deployment.engine == "slurm" and backend == "local":
        raise ClientError(
            'engine = "slurm" and a model of this machine: its model host answers here alone;'
            " give [llm] a base_url that the cluster's nodes reach"
        )
