"""The engine `local`: a service is a unit of the keeper, beside the agents."""

import asyncio
import hashlib
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from atoll.adapters.listening import can_bind, port_holder
from atoll.adapters.private import private_directory
from atoll.config.places import Places
from atoll.errors import ClientError
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.capacity import Machine, warnings_of
from atoll_supervisor.core.services.container import BUILD_LIMIT, MARK
from atoll_supervisor.core.services.local_unit import HOST, evidence_of
from atoll_supervisor.core.services.order import JOB, Order
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.spec import Card, Policy, UnitSpec
from atoll_supervisor.loop.fleet_loop import FleetLoop
from atoll_supervisor.loop.services.around import STILL_ENDS, StillEnds
from atoll_supervisor.ports import SeesServices
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.services.written import remove_written

PREFIX = "service."
"""Of a service's unit: a slug with a dot can never be an agent's."""
SLACK = 30.0
"""Seconds beyond its start limit after which the unit itself gives up a start."""
LOOK = 0.5
"""Seconds between two looks at images that may be being built."""
END_SLACK = 5.0
"""Seconds beyond its stop limit in which a service that is ended has to be gone."""


class LocalEngine:
    """Makes units of services and tells what becomes of them."""

    def __init__(
        self,
        fleet: FleetLoop,
        places: Places,
        environ: Mapping[str, str],
        saw: SeesServices,
        machine: Callable[[], Machine],
    ) -> None:
        self._machine = machine
        self._fleet = fleet
        self._folder = places.state / "services"
        self._environ = {name: environ[name] for name in ("PATH", "HOME") if name in environ}
        self._saw = saw
        self._gone: dict[str, asyncio.Event] = {}
        self._begun: dict[str, str] = {}
        fleet.changed = self._changed

    async def admit(self, asked: Resources) -> tuple[str, ...]:
        """Hold what is asked for against what this machine has now."""
        return warnings_of(asked, await asyncio.to_thread(self._machine))

    async def submit(self, record: Record) -> Record:
        """Have the fleet start it; raises ClientError when the port its recipe names is taken."""
        blueprint = await asyncio.to_thread(self._blueprint, record)
        slug = blueprint.spec.slug
        if record.order.port:
            await self._claim(slug, record.order.port)
        self._begun[slug] = record.uuid
        self._fleet.services[slug] = blueprint
        self._fleet.hands.learn({slug: blueprint})
        self._fleet.post([(slug, ev.SpecAccepted(blueprint.spec))])
        return replace(record, host=HOST, port=self._fleet.hands.ports.port_of(slug))

    async def _claim(self, slug: str, port: int) -> None:
        """Have a port for it: neither another unit's nor a stranger's."""
        ports = self._fleet.hands.ports
        ports.wish({slug: port})
        problem = ports.problem_of(slug)
        if not problem and not can_bind(HOST, port):
            holder = await asyncio.to_thread(port_holder, port)
            problem = f"port {port} is in use" + (f" by {holder}" if holder else "")
        if problem:
            ports.forget(slug)
            raise ClientError(f"the recipe names its port, and {problem}")

    async def replace(self, record: Record, anew: Record) -> Record:
        """Have the fleet stop the one and then start the other: both want one data folder."""
        await self.cancel(record)
        if not await self.gone(record):
            raise StillEnds(f"{record.name}: {STILL_ENDS}; ask again in a moment")
        return await self.submit(anew)

    def goes_on(self, record: Record) -> bool:
        """Whether the fleet still has this start of it."""
        return self._begun.get(unit_of(record.id)) == record.uuid

    def may_have_job(self, _uuid: str) -> bool:
        """No: the keeper has one process of each unit."""
        return False

    def adopt(self, record: Record) -> Record:
        """The first look at the agents directory takes it in, with the process if there is one."""
        blueprint = self._blueprint(record)
        self._begun[blueprint.spec.slug] = record.uuid
        self._fleet.services[blueprint.spec.slug] = blueprint
        if record.port:
            self._fleet.hands.ports.keep({blueprint.spec.slug: record.port})
        return record

    async def cancel(self, record: Record) -> None:
        """Have the fleet stop it and drop it; a later start of it is another."""
        slug = unit_of(record.id)
        if self._begun.get(slug) == record.uuid:
            del self._begun[slug], self._fleet.services[slug]
            self._fleet.post([(slug, ev.Removed("the service was ended"))])

    def still_ends(self, record: Record) -> bool:
        """Whether its process is there, although the service is over."""
        return record.is_final and self._fleet.unit(unit_of(record.id)) is not None

    async def gone(self, record: Record) -> bool:
        """Wait until its processes are gone, for its stop limit and a little more."""
        slug = unit_of(record.id)
        if self._fleet.unit(slug) is None:
            return True
        gone = self._gone.setdefault(slug, asyncio.Event())
        try:
            async with asyncio.timeout(record.order.stop_timeout + END_SLACK):
                return await gone.wait()
        except TimeoutError:
            return False

    async def forget(self, record: Record) -> None:
        """Remove what it has written, once nothing of it writes any more."""
        await self.gone(record)
        (_, log), *_ = self.logs(record)
        await asyncio.to_thread(remove_written, self._data(record), log)

    def logs(self, record: Record) -> tuple[tuple[str, Path], ...]:
        """What the keeper has pumped from it; both streams are in one file."""
        return (("OUTPUT", self._fleet.hands.log_of(unit_of(record.id))),)

    async def run(self) -> None:
        """Look for those whose image is being built; for the rest the fleet does the watching."""
        while True:
            known = self._fleet.services.items()
            self._changed([slug for slug, one in known if one.order and one.order.builds])
            await asyncio.sleep(LOOK)

    def _changed(self, slugs: Collection[str]) -> None:
        for slug in slugs:
            unit, blueprint = self._fleet.unit(slug), self._fleet.services.get(slug)
            if unit is None and (gone := self._gone.pop(slug, None)):
                gone.set()
            if unit is not None and blueprint is not None and slug.startswith(PREFIX):
                port = self._fleet.hands.ports.port_of(slug)
                seen = evidence_of(unit, port, builds=_builds(blueprint))
                self._saw(slug.removeprefix(PREFIX), seen)

    def _data(self, record: Record) -> Path:
        return self._folder / record.id

    def _blueprint(self, record: Record) -> Blueprint:
        data = private_directory(self._data(record))
        order = record.order
        spec = UnitSpec(
            slug=unit_of(record.id),
            name=record.name,
            checksum=hashlib.sha256(msgspec.json.encode(order)).hexdigest(),
            kind="service",
            policy=_policy(order),
            fixed_port=order.port,
            card=Card(description=f"service of the recipe {record.recipe_name}"),
        )
        ours = {
            "python": sys.executable,
            "host": HOST,
            "data": str(data),
            "name": record.name,
            "key": record.key,
            JOB: record.id,
        }
        return Blueprint(
            spec=spec,
            cwd=data,
            env=self._environ,
            limits=_limits(order),
            order=order,
            ours=ours,
        )


def unit_of(service: str) -> str:
    """The slug of a service's unit."""
    return f"{PREFIX}{service}"


def _builds(blueprint: Blueprint) -> bool:
    """Whether its image is being built now."""
    return bool(blueprint.order and blueprint.order.builds and (blueprint.cwd / MARK).exists())


def _policy(order: Order) -> Policy:
    """Two servers of one service would need its memory twice, and its port."""
    return Policy(
        start_timeout=order.start_limit + SLACK + (BUILD_LIMIT if order.builds else 0),
        stop_timeout=order.stop_timeout,
        restart=order.restart,
        max_restarts=order.max_restarts,
        restart_window=order.restart_window,
        probe_interval=order.health.interval,
        probe_failures=order.health.retries,
        overlap=False,
    )


def _limits(order: Order) -> dict[str, float]:
    asked = order.resources
    most = {"memory": float(asked.memory or asked.most_memory), "cpu": asked.cpu or asked.most_cpu}
    return {name: limit for name, limit in most.items() if limit}
