"""The life of a relay: a job is submitted, waited for, served, and ended.

One loop looks at the job; beside it, one task asks its agent for the pulse and one
passes its output on. A relay ends with its job, and its job with it, unless
it is killed: then the next one finds the job (`claims`).
"""

import asyncio
import socket
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress

from msgspec.structs import replace

from atoll.adapters.channel import Channel, KeeperGone, beating
from atoll.errors import AtollError, ClientError
from atoll.wire.relay import FRONT
from atoll_supervisor.core.agent_job import (
    OUTPUT,
    End,
    JobOrder,
    end_of,
    waiting_for,
)
from atoll_supervisor.core.services.slurm_job import MISSES, Job
from atoll_supervisor.jobs.bridge import Bridge
from atoll_supervisor.jobs.claims import Claim
from atoll_supervisor.jobs.held import Jobs, place_of
from atoll_supervisor.jobs.output import Output
from atoll_supervisor.jobs.pulse import Attendant
from atoll_supervisor.ports import Cluster
from atoll_supervisor.shell.slurm import SlurmDown

SOON, LATER, STEADY = 0.5, 2.0, 10.0
"""Seconds between two looks: at a job that has just been submitted or is ending, at one that
waits in the queue, and at one that serves, whose own pulse tells more."""
FRESH = 30.0
"""Seconds in which a job that waits is looked at often."""
SPARE = 3.0
"""Seconds of its stop_timeout that the relay keeps for itself."""


class Relay:
    """Stands for one job; `sock` is the agent's own socket, `channel` leads to the keeper."""

    def __init__(
        self,
        order: JobOrder,
        cluster: Cluster,
        sock: socket.socket,
        channel: Channel,
        environ: Mapping[str, str],
    ) -> None:
        self._order = order
        self._sock = sock
        self._channel = channel
        self._environ = environ
        self._jobs = Jobs(order, cluster)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._attendant: Attendant | None = None
        self._bridge: Bridge | None = None
        self._status = ""
        self._lost = ""
        self._left_at: float | None = None
        self._ran_at = 0.0
        self._told = False
        self._cancelled = False
        self._is_over = False

    async def run(self) -> End:
        """Live until the job has ended, or until told to leave."""
        try:
            claim, is_new = await self._claimed()
        except ClientError as error:
            hint = f"see [resources] and [slurm] in {self._order.manifest}"
            return self._failed(f"{error} ({hint})")
        except (AtollError, OSError) as error:
            return self._failed(str(error))
        output = Output(claim.folder / OUTPUT, from_end=not is_new)
        self._begin(output.follow())
        try:
            end = await self._until_over(claim)
        finally:
            await self._finish()
        await asyncio.to_thread(output.pass_on)
        if self._is_over:
            await asyncio.to_thread(claim.remove)
        return end

    def leave(self) -> None:
        """End the job: it finishes what it has. Told again, it changes nothing."""
        if self._left_at is None:
            self._left_at = time.monotonic()
            self._wake.set()

    # inside

    @property
    def _is_leaving(self) -> bool:
        return self._left_at is not None

    def _failed(self, why: str) -> End:
        return End(0) if self._is_leaving else End(1, why)

    async def _claimed(self) -> tuple[Claim, bool]:
        """A job, and whether it is a new one."""
        claim = await self._jobs.left()
        if claim is not None:
            self._say(f"job {claim.record.job_id} goes on: its relay was lost")
            return claim, False
        host = self._sock.getsockname()[0]
        front = {FRONT: f"{host} {socket.gethostname()}"}
        claim = await self._jobs.submit(self._environ, front)
        self._say(f"job {claim.record.job_id} was submitted")
        return claim, True

    async def _until_over(self, claim: Claim) -> End:
        """Look at the job again and again. One that drains tells no pulse, and is not lost."""
        begun, misses = time.monotonic(), 0
        while self._is_leaving or not self._lost:
            looked = await self._look(claim)
            if isinstance(looked, Job):
                self._see(looked, claim)
            misses = misses + 1 if looked is None and not self._is_well else 0
            if misses >= MISSES or (isinstance(looked, Job) and looked.is_over):
                return await self._ended(claim, looked if isinstance(looked, Job) else None)
            self._attend(claim)
            if self._is_leaving:
                await self._part(claim)
                if isinstance(looked, SlurmDown) and await self._has_gone():
                    claim.release()  # a later look finds what is left of it
                    return End(0)
            await self._pause(self._until_next_look(begun))
        return await self._given_up(claim)

    @property
    def _is_well(self) -> bool:
        """Whether the job's agent answers, whatever the cluster knows of it."""
        return self._attendant is not None and self._attendant.well

    async def _look(self, claim: Claim) -> Job | SlurmDown | None:
        """What the cluster says: its silence is no news of the job."""
        try:
            return await self._jobs.look(claim)
        except SlurmDown as error:
            return error

    def _see(self, job: Job, claim: Claim) -> None:
        """Tell why it is not ready yet; one that served and waits again serves nobody."""
        waits = waiting_for(job)
        if self._bridge is not None:
            self._lost = self._lost or (waits and f"{waits} again")
        elif waits:
            self._tell(waits)
        elif not job.is_over:
            self._tell(f"job {job.job_id} runs on {job.node} and does not answer yet")
            self._expect_address(job, claim)

    def _expect_address(self, job: Job, claim: Claim) -> None:
        """A job that runs writes where, unless its node has another disk than this machine."""
        now = time.monotonic()
        self._ran_at = self._ran_at or now
        if self._attendant is None and now - self._ran_at > self._order.start_timeout:
            self._lost = (
                f"start-timeout: job {job.job_id} runs on {job.node} and has not told its address:"
                f" is {claim.folder} on a file system that the nodes share?"
            )

    def _attend(self, claim: Claim) -> None:
        """Begin to ask its agent, as soon as it has told where it is."""
        if self._attendant is None and not self._is_leaving and (place := place_of(claim)):
            self._attendant = Attendant(place, claim.record.key, self._turned)
            self._begin(self._serve(claim, place, self._attendant))

    async def _serve(self, claim: Claim, place: tuple[str, int], attendant: Attendant) -> None:
        try:
            why = await attendant.until_ready(self._order.start_timeout)
            if not why:
                await self._ready(claim, place, attendant)
                why = await attendant.until_lost()
        except OSError as error:
            why = str(error)
        self._lost = f"job {claim.record.job_id}: {why}"
        self._wake.set()

    async def _ready(self, claim: Claim, place: tuple[str, int], attendant: Attendant) -> None:
        if self._is_leaving:
            return
        self._bridge = Bridge(self._sock, place, claim.record.key)
        if attendant.takes:
            await self._bridge.open()
        self._say(f"job {claim.record.job_id} serves at {place[0]}:{place[1]}")
        with suppress(KeeperGone):
            self._channel.status("")
            self._channel.ready()
            self._channel.beat(attendant.pulse)
        self._begin(self._beat(attendant))

    def _turned(self) -> None:
        """While its agent takes nothing, who comes waits at the socket, maybe for the next job."""
        takes = self._attendant is not None and self._attendant.takes
        if not takes:
            self._wake.set()
        if self._bridge is not None and takes and not self._is_leaving:
            self._begin(self._open(self._bridge))
        elif self._bridge is not None:
            self._bridge.close()

    async def _open(self, bridge: Bridge) -> None:
        try:
            await bridge.open()
        except OSError as error:
            self._lost = f"its relay cannot take connections any more: {error}"
            self._wake.set()

    async def _beat(self, attendant: Attendant) -> None:
        """For the keeper this process is the agent, and as well as this one."""
        with suppress(KeeperGone):  # which kills us, too
            await beating(self._channel, lambda: attendant.pulse)

    async def _part(self, claim: Claim) -> None:
        """The job finishes what it has; when its time is nearly over, it is ended."""
        if self._left_at is None:
            return
        if not claim.record.leaving:
            claim.write(replace(claim.record, leaving=True))
            with suppress(KeeperGone):
                self._channel.draining()
            if self._bridge is not None:
                self._bridge.close()
        drains = self._bridge is not None and not self._is_late(self._left_at)
        if drains and self._attendant is not None:
            self._told = self._told or await self._attendant.tell_to_leave()
        if not (drains and self._told) and not self._cancelled:
            with suppress(SlurmDown):  # tried again at the next look
                await self._jobs.cancel(claim)
                self._cancelled = True

    async def _has_gone(self) -> bool:
        """Whether an agent that was told to leave is surely gone: the cluster does not say."""
        if self._bridge is None or self._attendant is None or not self._told:
            return False
        return self._bridge.is_idle and not await self._attendant.tell_to_leave()

    def _is_late(self, left_at: float) -> bool:
        """Whether its time to finish is nearly over."""
        stop = self._order.stop_timeout
        return time.monotonic() - left_at >= max(stop / 2, stop - SPARE)

    async def _ended(self, claim: Claim, job: Job | None) -> End:
        if job is None:
            with suppress(SlurmDown):
                job = await self._jobs.completed(claim)
        end = end_of(job, claim.record.job_id, claim.read(OUTPUT))
        self._is_over = True
        return End(0) if self._is_leaving else end

    async def _given_up(self, claim: Claim) -> End:
        """The job is of no use any more; who finds it later ends it, if we cannot."""
        claim.write(replace(claim.record, leaving=True))
        with suppress(SlurmDown):
            await self._jobs.cancel(claim)
        claim.release()
        return self._failed(self._lost)

    def _until_next_look(self, begun: float) -> float:
        if self._is_leaving:
            return SOON
        if self._is_well:
            return STEADY
        is_old = self._attendant is None and time.monotonic() - begun > FRESH
        return LATER if is_old else SOON

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    def _tell(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._say(status)
            with suppress(KeeperGone):
                self._channel.status(status)

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self) -> None:
        """End what runs beside the loop."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._bridge is not None:
            await self._bridge.end()
