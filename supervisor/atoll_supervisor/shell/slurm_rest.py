"""SLURM by slurmrestd over its unix socket: the second way to a cluster, beside the commands.

slurmrestd (8) lets in whoever runs it, by the socket alone (`rest_auth/local`).
Behind one whose slurmctld is away each call takes 9 s, and ends in an error that
says nothing of any job (22.05; system.md 4.2).
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from atoll.adapters.lean_httpx import httpx
from atoll.errors import ClientError
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.rest_wire import (
    OVER_ALREADY,
    UNKNOWN_JOB,
    body_of,
    faults_of,
    is_refusal,
    is_untouched,
    job_id_of,
    newest_of,
    told,
)
from atoll_supervisor.core.services.slurm_job import Job, jobs_of
from atoll_supervisor.shell.slurm import Slurm, SlurmDown, SlurmUnsure

LIMIT = 30.0
"""Seconds that one answer may take."""


class SlurmRest:
    """One cluster as its slurmrestd tells of it: `ports.Cluster`.

    Where the commands are there too, they tell where the completion file is.
    """

    def __init__(self, socket: Path, commands: Slurm) -> None:
        self._socket = socket
        self._commands = commands
        self._version = ""

    async def submit(self, spec: JobSpec, script: Path, environment: Mapping[str, str]) -> str:
        """Submit a file's text; the job's id. Raises ClientError when it can never run."""
        text = await asyncio.to_thread(script.read_text)
        environment = {**environment, **self._commands.environ}
        body = body_of(spec, text, environment, await self._newest())
        answer = await self._ask("POST", "job/submit", msgspec.json.encode(body))
        try:
            job_id = job_id_of(answer.content)
        except msgspec.MsgspecError:
            job_id = ""
        if job_id:
            return job_id
        faults = faults_of(answer.content)
        if is_refusal(faults) or answer.status_code == 400:
            gpus = f" (asked for gres gpu:{spec.gpus})" if spec.gpus else ""  # it names no key
            raise ClientError(f"the cluster refused the job: {told(faults)}{gpus}")
        raise self._down(answer)

    async def jobs(self) -> tuple[Job, ...]:
        """Every job the cluster remembers; raises SlurmDown."""
        return self._read(await self._ask("GET", "jobs"))

    async def cancel(self, job_id: str, name: str) -> None:
        """End a job, if the one of this number has this name; one that is over is no error.

        Between look and end SLURM could forget the job and give its number away, as it
        could within `scancel --name`, which asks in two steps as well.
        """
        self._check(await self._ask("GET", "ping"))  # a job that is asked for takes twice as long
        answer = await self._ask("GET", f"job/{job_id}")
        if any(fault.number == UNKNOWN_JOB for fault in faults_of(answer.content)):
            return
        if not any(job.name == name and not job.is_over for job in self._read(answer)):
            return
        ended = await self._ask("DELETE", f"job/{job_id}")
        over = (UNKNOWN_JOB, OVER_ALREADY)
        if not any(fault.number in over for fault in faults_of(ended.content)):
            self._check(ended)

    async def completed(self, name: str) -> Job | None:
        """How a job of this name ended, if the commands can tell where that is written down."""
        if shutil.which("scontrol", path=self._commands.environ.get("PATH")) is None:
            return None
        return await self._commands.completed(name)

    # inside

    async def _newest(self) -> str:
        """The version of the interface to speak, found out once."""
        if not self._version:
            answer = await self._send("GET", "/openapi.json")
            try:
                self._version = newest_of(answer.content)
            except msgspec.MsgspecError:
                raise self._down(answer) from None
        if not self._version:
            hint = "its plugin openapi/v0.0.N, or openapi/slurmctld, is not loaded"
            raise SlurmDown(f"slurmrestd at {self._socket} takes no jobs: {hint}")
        return self._version

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        answer = await self._send(method, f"/slurm/{await self._newest()}/{path}", body)
        if answer.status_code in (401, 403):
            said = told(faults_of(answer.content))
            raise SlurmDown(f"slurmrestd at {self._socket} does not let the daemon in: {said}")
        if answer.status_code == 404 and not answer.content.startswith(b"{"):
            self._version = ""  # another release has taken its place
            raise SlurmDown(f"slurmrestd at {self._socket} does not know {path} any more")
        return answer

    async def _send(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """On a connection of its own: slurmrestd may be another one the next time."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket), verify=False)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        lost = SlurmDown if method == "GET" else SlurmUnsure
        try:
            async with (
                asyncio.timeout(LIMIT),
                httpx.AsyncClient(transport=transport, timeout=None, trust_env=False) as http,
            ):
                return await http.request(
                    method, f"http://localhost{path}", content=body, headers=headers
                )
        except TimeoutError:
            raise lost(f"slurmrestd did not answer within {LIMIT:g} s") from None
        except httpx.ConnectError as error:
            is_there = await asyncio.to_thread(self._socket.exists)
            why = str(error) if is_there else "there is no such socket"
            raise SlurmDown(f"slurmrestd does not answer at {self._socket}: {why}") from None
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            raise lost(f"slurmrestd ended before it had answered: {said}") from None

    def _read(self, answer: httpx.Response) -> tuple[Job, ...]:
        self._check(answer)
        try:
            return jobs_of(answer.content)
        except msgspec.MsgspecError as error:
            raise SlurmDown(f"slurmrestd told what nobody can read: {error}") from None

    def _check(self, answer: httpx.Response) -> None:
        """Raises SlurmDown unless the answer is a good one."""
        if answer.status_code != 200 or faults_of(answer.content):
            raise self._down(answer)

    def _down(self, answer: httpx.Response) -> SlurmDown:
        faults = faults_of(answer.content)
        if is_refusal(faults):
            return SlurmDown(f"slurmctld refuses what slurmrestd asks: {told(faults)}")
        kind = SlurmDown if is_untouched(faults) else SlurmUnsure
        return kind(f"slurmctld does not answer slurmrestd: {told(faults)}")
