"""What is given to sbatch: the options of a job, and the script that becomes the server.

The script finds the node's own address and a free port there, writes them where
the daemon reads them, and then *is* the server (`exec`), so that SLURM's SIGTERM
reaches it.
"""

import shlex
from collections.abc import Iterable, Mapping
from math import ceil

from msgspec import Struct

from atoll_supervisor.core.services.amounts import MIB, Resources
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.services.slurm_job import SCHEME

HOST_WORD, PORT_WORD = "@ATOLL_HOST@", "@ATOLL_PORT@"
ENDPOINT = "endpoint"
"""File in the service's folder: job id, times it was requeued, address, port."""
FIRST_PORT, PORTS = 20_000, 10_000

_SCRIPT = r"""#!/bin/bash
# The job of an ATOLL service: becomes the server. Written by the daemon.
set -u
address=$(sinfo -h -n "${SLURMD_NODENAME:-}" -o %o 2>/dev/null | head -n 1)
host=$(getent ahostsv4 "${address:-$(hostname)}" | { read -r first _; echo "$first"; })
host=${host:-0.0.0.0}
port=$((@FIRST@ + RANDOM % @COUNT@))
while (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do port=$((@FIRST@ + RANDOM % @COUNT@)); done
printf '%s %s %s %s\n' "$SLURM_JOB_ID" "${SLURM_RESTART_COUNT:-0}" "$host" "$port" >@FILE@.new
mv @FILE@.new @FILE@
words=(@WORDS@)
words=("${words[@]//@ATOLL_HOST@/$host}")
words=("${words[@]//@ATOLL_PORT@/$port}")
@EXPORTS@
exec "${words[@]}"
"""


class Queue(Struct, frozen=True, kw_only=True):
    """Where a job waits, and who pays for it; "" leaves it to the cluster."""

    partition: str = ""
    account: str = ""
    qos: str = ""


class Mark(Struct, frozen=True):
    """What a job is known by: its name, and our uuid in its comment."""

    name: str
    uuid: str


def options_of(record: Record, log: str, folder: str) -> list[str]:
    """The options of sbatch for a service."""
    order = record.order
    queue = Queue(partition=order.partition, account=order.account, qos=order.qos)
    return job_options(Mark(record.name, record.uuid), order.resources, queue, log, folder)


def job_options(mark: Mark, resources: Resources, queue: Queue, log: str, folder: str) -> list[str]:
    """The options of sbatch; memory is the job's whole, never per CPU (MX2)."""
    asked = {
        "--job-name": mark.name,
        "--comment": f"{SCHEME}:{mark.uuid}",
        "--output": log.replace("%", "%%"),
        "--chdir": folder,
        "--open-mode": "append",
        "--nodes": str(resources.nodes),
        "--cpus-per-task": str(ceil(resources.cpu)) if resources.cpu else "",
        "--mem": f"{ceil(resources.memory / MIB)}M" if resources.memory else "",
        "--gres": f"gpu:{resources.gpu}" if resources.gpu else "",
        "--time": str(resources.time_limit) if resources.time_limit else "",
        "--partition": queue.partition,
        "--account": queue.account,
        "--qos": queue.qos,
    }
    return [f"{name}={value}" for name, value in asked.items() if value]


def script_of(record: Record, ours: Mapping[str, str], folder: str) -> str:
    """The batch script. `ours` are the places of the command but for host and port."""
    places = {**ours, "host": HOST_WORD, "port": PORT_WORD}
    words = record.order.argv(places)
    moved = [
        f'export {name}="${{{name}//{HOST_WORD}/$host}}" && '
        f'export {name}="${{{name}//{PORT_WORD}/$port}}"'
        for name, value in record.order.environment.items()
        if "{host}" in value or "{port}" in value
    ]
    return script_becoming(words, f"{folder}/{ENDPOINT}", "\n".join(moved))


def script_becoming(words: Iterable[str], endpoint: str, exports: str = "") -> str:
    """A script that tells its address in the file `endpoint` and becomes the server of `words`."""
    parts = {
        "@FIRST@": str(FIRST_PORT),
        "@COUNT@": str(PORTS),
        "@FILE@": shlex.quote(endpoint),
        "@EXPORTS@": exports,
        "@WORDS@": " ".join(
            map(shlex.quote, words)
        ),  # last: what a person wrote is not looked through for more
    }
    script = _SCRIPT
    for place, text in parts.items():
        script = script.replace(place, text)
    return script


def environment_of(record: Record, ours: Mapping[str, str]) -> dict[str, str]:
    """The variables that the job is given beside PATH, HOME and SLURM's own."""
    return record.order.env({**ours, "host": HOST_WORD, "port": PORT_WORD})


def endpoint_of(text: str, job_id: str, restarts: int) -> tuple[str, int] | None:
    """Address and port that this very start of the job has written; None when it has not."""
    parts = text.split()
    if len(parts) != 4 or parts[:2] != [job_id, str(restarts)] or not parts[3].isdecimal():
        return None
    return parts[2], int(parts[3])
