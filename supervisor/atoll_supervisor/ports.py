"""What the daemon's rooms need from each other, as small protocols."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.row import Row
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.records import (
    Batch,
    BatchOrder,
    IdempotencyKey,
    Order,
    Page,
    Run,
    Wanted,
)
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.evidence import Evidence
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.core.services.record import Record, Service, ServiceGroup, ServiceRow
from atoll_supervisor.core.services.slurm_job import Job
from atoll_supervisor.core.services.summary import Ending, Listed, ModelList


class Fleet(Protocol):
    """The fleet as the management API and the console see it."""

    @property
    def uptime(self) -> float:
        """Seconds since the daemon started."""
        ...

    @property
    def degraded(self) -> str:
        """What cannot be kept although the fleet goes on, or ""."""
        ...

    def rows(self) -> Sequence[Row]:
        """Every agent, sorted by slug; a snapshot that costs no system call."""
        ...

    def row(self, name: str) -> Row:
        """One agent by any spelling of its name; raises NotFound."""
        ...

    async def start(self, name: str, *, wait: bool = True) -> Row:
        """Start it and answer when it serves, or has failed; raises NotFound."""
        ...

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        """Stop it and answer when its processes are gone; raises NotFound."""
        ...

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        """Stop and start it, holding its socket meanwhile; raises NotFound."""
        ...

    def log_file(self, name: str) -> Path:
        """The live log file of a unit (rotated ones stand beside it); raises NotFound."""
        ...


class Events(Protocol):
    """What has happened and what happens, as the management API and the console see it.

    `unit` is a slug, "" for the daemon itself, None for everything.
    """

    @property
    def degraded(self) -> str:
        """Why what happens cannot be kept, or ""."""
        ...

    async def since(self, after: int, unit: str | None, limit: int) -> list[Happening]:
        """The first `limit` events after an id, oldest first."""
        ...

    async def latest(self, unit: str | None, limit: int) -> list[Happening]:
        """The newest `limit` events, oldest first."""
        ...

    def follow(
        self, unit: str | None, leaving: asyncio.Event, after: int | None = None, tail: int = 0
    ) -> AsyncIterator[list[Happening]]:
        """Events after an id, or the last `tail`, then all that come: none twice, none left out.

        Nothing for a while comes as an empty list. Ends after the newest event
        once `leaving` is set.
        """
        ...


class Upkeep(Protocol):
    """New manifests and new code, for the daemon and its agents."""

    async def reload(self) -> None:
        """Read the agents directory again, and return when what changed is on its way."""
        ...

    async def reload_runtime(self) -> tuple[str, ...]:
        """Have agents forked from the runtime on the disk; the slugs of those to be replaced."""
        ...

    async def upgrade(self) -> None:
        """Begin to become the program on the disk; raises AtollError when that does not start."""
        ...


class Runs(Protocol):
    """Recorded work. Whatever is given back is kept; NotFound is raised for what is not there.

    Each method raises an AtollError with status 503 when the disk refuses.
    """

    async def start(self, order: Order, key: IdempotencyKey | None) -> Run:
        """Accept a run, or find the one that the key names."""
        ...

    async def start_batch(
        self, orders: Sequence[Order], more: BatchOrder, key: IdempotencyKey | None
    ) -> str:
        """Accept many runs at once; the batch's id."""
        ...

    async def ended(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, or as it is when the daemon leaves."""
        ...

    async def run(self, run_id: str) -> Run:
        """The run as it is now."""
        ...

    async def page(self, wanted: Wanted) -> Page:
        """A list of runs, newest first."""
        ...

    async def batch(self, batch_id: str) -> tuple[Batch, list[Run]]:
        """A batch and its runs, in the order in which they were given."""
        ...

    async def cancel(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, by this or before."""
        ...

    async def delete(self, run_id: str) -> None:
        """Forget a run that has ended."""
        ...

    def follow(self, run_id: str, after: int, leaving: asyncio.Event) -> AsyncIterator[list[Told]]:
        """The run's events after an id, to its end; nothing for a while comes as an empty list."""
        ...


class Services(Protocol):
    """The services of one daemon and their recipes, as the management API sees them.

    `name` is a service's id, or where it says so a group's; raises NotFound.
    """

    @property
    def degraded(self) -> str:
        """Why services cannot be kept, or ""."""
        ...

    async def recipes(self) -> tuple[Listed, ...]:
        """Every recipe."""
        ...

    async def recipe(self, path: str) -> Recipe:
        """One recipe; raises NotFound in the source page's words."""
        ...

    def is_over(self, name: str) -> bool:
        """Whether nothing of it runs or writes any more, or nobody knows it."""
        ...

    def rows(self, api: str = "") -> tuple[ServiceRow, ...]:
        """Every service, oldest first; only those that speak `api`, if one is named."""
        ...

    def groups(self) -> tuple[ServiceGroup, ...]:
        """Every group of replicas, oldest first."""
        ...

    def row(self, name: str) -> Service:
        """A service or a group."""
        ...

    async def create(self, wish: Wish) -> Service:
        """Start what is wished for; raises ClientError for what the recipe does not allow."""
        ...

    async def cancel(self, name: str, *, purge: bool, wait: bool = True) -> Ending:
        """End a service or a group, and with `purge` forget it; `wait`s until it is gone."""
        ...

    async def restart(self, name: str) -> Service:
        """End it if it is not over, and start it again as the service that it was."""
        ...

    def key(self, name: str) -> str:
        """The API key that a service's server was started with."""
        ...

    def logs(self, name: str) -> tuple[tuple[str, Path], ...]:
        """The files that a service writes, each with a title."""
        ...

    async def prompt(self, name: str, prompt: Prompt) -> Answered | NotAnswered:
        """Ask a service, or one of a group's in turn."""
        ...

    async def models(self, name: str) -> ModelList | NotAnswered:
        """The models that a service serves."""
        ...

    async def metrics(self, name: str) -> str:
        """A service's state and its own metrics in the text format of Prometheus."""
        ...


class ServiceEngine(Protocol):
    """Where services run; what it sees of them it tells by the `saw` it was made with."""

    async def admit(self, asked: Resources, /) -> tuple[str, ...]:
        """What it gets less of than is asked for; raises ClientError for what it never can."""
        ...

    async def submit(self, record: Record) -> Record:
        """Begin to run it; raises ClientError when it never can. The record, and what is known."""
        ...

    async def replace(self, record: Record, anew: Record) -> Record:
        """Run `anew` instead of `record`, never beside it; `anew`, and what is known.

        Raises as `submit` does, and StillEnds; `goes_on` tells what that means for `record`.
        """
        ...

    def goes_on(self, record: Record, /) -> bool:
        """Whether nobody has ended it: a start in its place that failed may have."""
        ...

    def may_have_job(self, uuid: str, /) -> bool:
        """Whether a start of this uuid may have a job that this daemon is to look for."""
        ...

    def adopt(self, record: Record) -> Record:
        """Look after a service that an earlier daemon began; called before anything else."""
        ...

    async def cancel(self, record: Record) -> None:
        """End it; returns when that is on its way."""
        ...

    async def gone(self, record: Record, /) -> bool:
        """Wait, within its stop limit, until nothing of it runs; whether that is so."""
        ...

    def still_ends(self, record: Record, /) -> bool:
        """Whether something of it runs here although it is over."""
        ...

    async def forget(self, record: Record) -> None:
        """Give up what is kept for it."""
        ...

    def logs(self, record: Record) -> tuple[tuple[str, Path], ...]:
        """Its output files, each with a title."""
        ...

    async def run(self) -> None:
        """Watch until cancelled."""
        ...


class Cluster(Protocol):
    """A SLURM cluster, however it is reached.

    Each method raises SlurmDown when it does not answer, which says nothing of its jobs.
    """

    async def submit(self, spec: JobSpec, script: Path, environment: Mapping[str, str]) -> str:
        """Queue a job and give its number; raises ClientError when it can never run."""
        ...

    async def jobs(self) -> tuple[Job, ...]:
        """Every job that the cluster remembers, strangers' included."""
        ...

    async def cancel(self, job_id: str, name: str) -> None:
        """End the job of this number if it has this name; one that is over is no error."""
        ...

    async def completed(self, name: str) -> Job | None:
        """How a job that it has forgotten ended, as far as its completion file tells."""
        ...


class SeesServices(Protocol):
    """Whom an engine tells what it sees."""

    def __call__(self, service: str, evidence: Evidence, uuid: str = "") -> None:
        """Take in what was seen of the service of this id; with a `uuid`, of that start of it."""
        ...
