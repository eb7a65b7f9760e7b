"""SLURM by its own commands: sbatch, squeue, scancel, and `scontrol ping` before any of them.

Without an answer of slurmctld the others block for 9 s and more (system.md 1),
and nothing that they would have said may be taken for "the job is gone".
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from atoll.errors import AtollError, ClientError
from atoll_supervisor.core.services.job_spec import JobSpec, options_of
from atoll_supervisor.core.services.slurm_job import Job, job_of_completion, jobs_of
from atoll_supervisor.shell.services.written import last_of

LIMIT = 20.0
"""Seconds that a command may take."""
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SLURM_CONF")
"""What SLURM's commands, and by sbatch the jobs, get of the daemon's environment."""
UNANSWERED = (
    "Unable to contact slurm controller",
    "timed out on send/recv",
    "Zero Bytes were transmitted or received",
    "Message receive failure",
    "in standby mode",
)
"""What sbatch says when slurmctld leaves it without an answer; anything else is a refusal."""
UNHEARD = ("connect failure", "in standby mode")
"""Those after which there is surely no job."""
COMPLETIONS = 4 * 1024 * 1024
"""Bytes at the end of the job completion file that are looked through."""


class SlurmDown(AtollError):
    """The cluster does not answer, or its commands are not there; nothing is known of its jobs."""

    code = "slurm_down"
    status = 503
    who = "upstream"


class SlurmUnsure(SlurmDown):
    """The answer to a request is lost: whether it was followed is not known."""


class Slurm:
    """One cluster as this machine's commands reach it: `ports.Cluster`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {name: environ[name] for name in PASSED_ON if name in environ}

    async def submit(self, spec: JobSpec, script: Path, environment: Mapping[str, str]) -> str:
        """Submit a file; the job's id. Raises ClientError when it can never run, SlurmDown."""
        await self._ping("sbatch")
        words = ("sbatch", "--parsable", "--export=ALL", *options_of(spec), str(script))
        code, out, err = await self._run(words, {**environment, **self.environ})
        if code != 0:
            said = "; ".join(line.removeprefix("sbatch: error: ") for line in err.splitlines())
            if any(word in said for word in UNANSWERED):
                kind = SlurmDown if any(word in said for word in UNHEARD) else SlurmUnsure
                raise kind(f"slurmctld does not answer sbatch: {said}")
            raise ClientError(f"the cluster refused the job: {said.strip() or f'exit code {code}'}")
        return out.strip().partition(";")[0]

    async def jobs(self) -> tuple[Job, ...]:
        """Every job the cluster remembers; raises SlurmDown."""
        await self._ping("squeue")
        code, out, err = await self._run(("squeue", "--json"))
        if code != 0:
            raise SlurmDown(f"squeue failed: {err.strip()[:300]}")
        try:
            return jobs_of(out.encode())
        except msgspec.MsgspecError as error:
            raise SlurmDown(f"squeue told what nobody can read: {error}") from None

    async def cancel(self, job_id: str, name: str) -> None:
        """End a job, if the one of this number has this name; one that is over is no error."""
        await self._ping("scancel")
        code, _, err = await self._run(("scancel", f"--name={name}", job_id))
        if code != 0 and "Invalid job id" not in err:
            raise SlurmDown(f"scancel failed: {err.strip()[:300]}")

    async def completed(self, name: str) -> Job | None:
        """How a job of this name ended, by the cluster's completion file; None without one."""
        code, out, _ = await self._run(("scontrol", "show", "config"))
        lines = (line.partition("=") for line in out.splitlines())
        config = {key.strip(): value.strip() for key, _, value in lines}
        if code != 0 or config.get("JobCompType") != "jobcomp/filetxt":
            return None
        return await asyncio.to_thread(_completion, Path(config.get("JobCompLoc", "")), name)

    async def _ping(self, command: str) -> None:
        """Raises SlurmDown with the reason why nothing can be asked."""
        path = self.environ.get("PATH")
        for needed in (command, "scontrol"):
            if shutil.which(needed, path=path) is None:
                raise SlurmDown(
                    f"`{needed}` is not on the daemon's PATH: the engine slurm needs SLURM's"
                    " commands (on Debian the package slurm-client)"
                )
        code, out, err = await self._run(("scontrol", "ping"))
        if code != 0 or " is UP" not in out:
            said = (out or err).strip().splitlines()
            raise SlurmDown(f"slurmctld does not answer: {said[0] if said else 'no word'}")

    async def _run(
        self, words: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=self.environ if environ is None else environ,
        )
        try:
            async with asyncio.timeout(LIMIT):
                out, err = await child.communicate()
        except TimeoutError:
            raise SlurmUnsure(f"{words[0]} did not answer within {LIMIT:g} s") from None
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        return child.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


def _completion(path: Path, name: str) -> Job | None:
    """The last line of that name; a job that was requeued has several."""
    for line in reversed(last_of(path, COMPLETIONS).splitlines()):
        if f" Name={name} " in line:
            return job_of_completion(line)
    return None
