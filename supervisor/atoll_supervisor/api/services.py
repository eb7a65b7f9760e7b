"""`/api/v1/services`: MeluXina's services (seeds-contract.md 5), by their page and beyond it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, Parameter
from litestar.response import Stream
from msgspec import Struct

from atoll.errors import ClientError
from atoll_supervisor.api.agents import AnyFleet, expect_nothing
from atoll_supervisor.api.auth import BY_TOKEN, PUBLIC
from atoll_supervisor.api.events import AnyEvents
from atoll_supervisor.api.health import About, AnyServices, health_of
from atoll_supervisor.api.logs import Follow, Leaving, TailOf
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.core.answers import ErrorBody, Health
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.record import (
    Service,
    ServiceGroup,
    ServiceRow,
    StatusAnswer,
    status_of,
)
from atoll_supervisor.core.services.summary import Logs, Stopped, Target, targets_of
from atoll_supervisor.shell import tail as log_tail

ServiceId = Annotated[str, Parameter(description="A service's id, or a group's")]
Purge = Annotated[bool, Parameter(description="true: forget it, and remove what it has written")]

NO_SERVICE = {404: ResponseSpec(ErrorBody, description="No service of this id")}
NOT_NOW = {
    503: ResponseSpec(ErrorBody, description="The cluster does not answer, or the disk is full")
}


Wait = Annotated[bool, Parameter(description="false: answer 202 at once, while it still ends")]
STOPPED, STOPPING = "Service stopped successfully", "Service is being stopped"


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The only status that can be asked for."""

    status: str


class Endpoint(Struct, frozen=True):
    """Where a server is reached, and the key that it wants to see as a bearer."""

    url: str | None
    api_key: str


@get("/api/v1/health", opt=PUBLIC, operation_id="health_v1", tags=["daemon"], sync_to_thread=False)
def health_v1(
    fleet: AnyFleet, events: AnyEvents, services: AnyServices, about: NamedDependency[About]
) -> Health:
    """As `/health`: the source page lists it under its base URL."""
    return health_of(fleet, events, services, about)


@get(
    "/api/v1/services",
    opt=PUBLIC,
    operation_id="list_services",
    tags=["services"],
    sync_to_thread=False,
)
def list_services(services: AnyServices) -> tuple[ServiceRow, ...]:
    """Every service, oldest first."""
    return services.rows()


@post(
    "/api/v1/services",
    status_code=201,
    operation_id="create_service",
    tags=["services"],
    security=BY_TOKEN,
    responses={
        **described(400, 401, 415),
        404: ResponseSpec(ErrorBody, description="No recipe of this name"),
        **NOT_NOW,
    },
)
async def create_service(services: AnyServices, data: JSONBody[Wish]) -> Service:
    """Start a service from a recipe, or with `replicas` a group of them."""
    return await services.create(data)


@get(
    "/api/v1/services/targets",
    opt=PUBLIC,
    operation_id="service_targets",
    tags=["services"],
    sync_to_thread=False,
)
def service_targets(services: AnyServices, request: AnyRequest) -> tuple[Target, ...]:
    """The services that run, for Prometheus' `http_sd_configs`; scraped where this was asked."""
    return targets_of(services.rows(), request.headers.get("host", ""))


@get(
    "/api/v1/services/{name:str}",
    opt=PUBLIC,
    operation_id="show_service",
    tags=["services"],
    responses=NO_SERVICE,
    sync_to_thread=False,
)
def show_service(services: AnyServices, name: ServiceId) -> Service:
    """One service, or a group with its replicas."""
    return services.row(name)


@delete(
    "/api/v1/services/{name:str}",
    status_code=200,
    operation_id="stop_service",
    tags=["services"],
    security=BY_TOKEN,
    responses={
        202: ResponseSpec(Stopped, description="Its process has not ended yet"),
        **described(401),
        **NO_SERVICE,
        **NOT_NOW,
    },
)
async def stop_service(
    services: AnyServices, name: ServiceId, purge: Purge = False, wait: Wait = True
) -> Response[Stopped]:
    """Stop a service and answer when its processes are gone, within its stop limit.

    It stays readable as `cancelled` until it is purged. A job is ended by its cluster.
    """
    ending = await services.cancel(name, purge=purge, wait=wait)
    body = Stopped(STOPPED if ending.gone else STOPPING, ending.job_id)
    return Response(body, status_code=200 if ending.gone else 202)


@post(
    "/api/v1/services/{name:str}/restart",
    status_code=200,
    before_request=expect_nothing,
    operation_id="restart_service",
    tags=["services"],
    security=BY_TOKEN,
    responses={**described(400, 401), **NO_SERVICE, **NOT_NOW},
)
async def restart_service(services: AnyServices, name: ServiceId) -> Service:
    """Start a service again, over or not: its id, its key and its data stay.

    One on a cluster goes on as it is when the cluster does not take the new job.
    `last_end` tells what it was before.
    """
    return await services.restart(name)


@get(
    "/api/v1/services/{name:str}/status",
    opt=PUBLIC,
    operation_id="service_status",
    tags=["services"],
    responses=NO_SERVICE,
    sync_to_thread=False,
)
def service_status(services: AnyServices, name: ServiceId) -> StatusAnswer:
    """The state of a service, for those who poll."""
    return status_of(services.row(name))


@post(
    "/api/v1/services/{name:str}/status",
    status_code=200,
    operation_id="set_service_status",
    tags=["services"],
    security=BY_TOKEN,
    responses={**described(400, 401, 415), **NO_SERVICE, **NOT_NOW},
)
async def set_service_status(
    services: AnyServices, name: ServiceId, data: JSONBody[Asked]
) -> StatusAnswer:
    """End a service the source system's other way: `{"status": "cancelled"}`."""
    if data.status != "cancelled":
        raise ClientError("a service can only be set to `cancelled`")
    await services.cancel(name, purge=False)
    return status_of(services.row(name))


@get(
    "/api/v1/services/{name:str}/endpoint",
    operation_id="service_endpoint",
    tags=["services"],
    security=BY_TOKEN,
    responses={**described(401), **NO_SERVICE},
    sync_to_thread=False,
)
def service_endpoint(services: AnyServices, name: ServiceId) -> Endpoint:
    """Where a service's own server is, and its key, for clients that speak to it directly."""
    row = services.row(name)
    if isinstance(row, ServiceGroup):
        raise ClientError("a group has many addresses: ask for one of its replicas")
    return Endpoint(row.url, services.key(name))


@get(
    "/api/v1/services/{name:str}/logs",
    operation_id="service_logs",
    tags=["services"],
    security=BY_TOKEN,
    responses={
        200: ResponseSpec(Logs, description="The last lines; with `follow`, text/plain"),
        **described(400, 401),
        **NO_SERVICE,
    },
)
async def service_logs(
    services: AnyServices,
    leaving: Leaving,
    name: ServiceId,
    tail: TailOf = 1000,
    follow: Follow = False,
) -> Response[Logs] | Stream:
    """What a service printed; with `follow=true` a text that goes on with every new line.

    It ends when the service is over, and nothing of it runs any more.
    """
    files = services.logs(name)
    if not follow:
        parts = [await asyncio.to_thread(_section, title, path, tail) for title, path in files]
        return Response(Logs("\n".join(parts)), media_type="application/json")
    if len(files) != 1:
        raise ClientError("a group's logs cannot be followed: follow one of its replicas")
    headers = {"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
    pieces = log_tail.follow(files[0][1], tail, leaving, partial(services.is_over, name))
    return Stream(_lines(pieces), media_type="text/plain", headers=headers)


@get(
    "/api/v1/services/{name:str}/metrics",
    opt=PUBLIC,
    operation_id="service_metrics",
    tags=["services"],
    responses={
        200: ResponseSpec(str, description="Metrics", media_type="text/plain"),
        **NO_SERVICE,
    },
    media_type="text/plain",
)
async def service_metrics(services: AnyServices, name: ServiceId) -> str:
    """A service's state and its server's own metrics, in the text format of Prometheus."""
    return await services.metrics(name)


@get(
    "/api/v1/service-groups",
    opt=PUBLIC,
    operation_id="list_service_groups",
    tags=["services"],
    sync_to_thread=False,
)
def list_groups(services: AnyServices) -> tuple[ServiceGroup, ...]:
    """Every group of replicas, oldest first."""
    return services.groups()


def _section(title: str, path: Path, lines: int) -> str:
    found = log_tail.tail(path, lines)
    return "\n".join((f"=== {title} ===", *map(plain_line, found), ""))


async def _lines(pieces: AsyncIterator[list[str]]) -> AsyncIterator[bytes]:
    async for lines in pieces:
        yield "".join(f"{plain_line(line)}\n" for line in lines).encode()


HANDLERS = (
    health_v1,
    list_services,
    create_service,
    service_targets,
    show_service,
    stop_service,
    restart_service,
    service_status,
    set_service_status,
    service_endpoint,
    service_logs,
    service_metrics,
    list_groups,
)
