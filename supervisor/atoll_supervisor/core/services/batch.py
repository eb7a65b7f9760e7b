"""A service as a job: what it asks of the cluster, and the script that becomes the server.

The script finds the node's own address and a free port there, writes them where
the daemon reads them, and then *is* the server (`exec`), so that SLURM's SIGTERM
reaches it.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from math import ceil

from atoll_supervisor.core.services.amounts import MIB
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.services.slurm_job import SCHEME

HOST_WORD, PORT_WORD = "@ATOLL_HOST@", "@ATOLL_PORT@"
ENDPOINT = "endpoint"
"""File in the service's folder: job id, times it was requeued, address, port."""
FIRST_PORT, PORTS = 20_000, 10_000
_HOST = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
"""The server itself may write to that file, too, and is not trusted with more."""

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


def spec_of(record: Record, log: str, folder: str, after: str = "") -> JobSpec:
    """What is asked of the cluster for a service; `log` and `folder` are absolute paths.

    It waits for the end of the job `after`.
    """
    order, resources = record.order, record.order.resources
    return JobSpec(
        name=record.name,
        comment=f"{SCHEME}:{record.uuid}",
        output=log,
        folder=folder,
        nodes=resources.nodes,
        cpus=ceil(resources.cpu),
        memory=ceil(resources.memory / MIB),
        gpus=resources.gpu,
        time_limit=resources.time_limit,
        partition=order.partition,
        account=order.account,
        qos=order.qos,
        after=after,
    )


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
        # Last: what a person wrote is not looked through for more.
        "@WORDS@": " ".join(map(shlex.quote, words)),
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
    if len(parts) != 4 or parts[:2] != [job_id, str(restarts)] or not _PORT.fullmatch(parts[3]):
        return None
    port = int(parts[3])
    return (parts[2], port) if _HOST.fullmatch(parts[2]) and 0 < port < 65_536 else None
