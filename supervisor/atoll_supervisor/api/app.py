"""Gateway and management API put together; every decision is in the modules of the routes."""

import asyncio
import secrets
from collections.abc import Mapping

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from atoll.errors import AtollError
from atoll.http.asgi import AsgiApp
from atoll.http.guard import GuardRules
from atoll.http.heads import HeadAsGet
from atoll_supervisor.api import recipes, reference
from atoll_supervisor.api import services as service_routes
from atoll_supervisor.api.agents import actions, list_agents, list_agents_flock, show_agent
from atoll_supervisor.api.auth import Access, Gate
from atoll_supervisor.api.batches import read_batch, run_batch
from atoll_supervisor.api.doors import Doors
from atoll_supervisor.api.events import read_agent_events, read_events
from atoll_supervisor.api.health import About, health
from atoll_supervisor.api.logs import read_logs
from atoll_supervisor.api.openapi import openapi_config, openapi_document
from atoll_supervisor.api.problems import crashed, refused, rejected, too_deep
from atoll_supervisor.api.reading import LenientRequest, each_once
from atoll_supervisor.api.run_events import read_run_events
from atoll_supervisor.api.runs import (
    cancel_run,
    delete_run,
    list_runs,
    read_run,
    run_agent,
    run_flock,
)
from atoll_supervisor.api.upkeep import reload, upgrade
from atoll_supervisor.api.vllm import vllm
from atoll_supervisor.gateway.app import Gateway
from atoll_supervisor.ports import Events, Fleet, Runs, Services, Upkeep

_HANDLERS = (
    health,
    list_agents,
    list_agents_flock,
    show_agent,
    read_logs,
    read_events,
    read_agent_events,
    reload,
    upgrade,
    openapi_document,
    run_agent,
    run_flock,
    list_runs,
    read_run,
    read_run_events,
    cancel_run,
    delete_run,
    run_batch,
    read_batch,
    *reference.HANDLERS,
    *service_routes.HANDLERS,
    *recipes.HANDLERS,
)


def create_app(
    fleet: Fleet,
    access: Access,
    rules: GuardRules,
    version: str,
    *,
    events: Events,
    runs: Runs,
    upkeep: Upkeep,
    services: Services,
    leaving: asyncio.Event | None = None,
) -> AsgiApp:
    """The daemon's ASGI application: `rules` say which hosts and origins may speak to it.

    Streams that would never end do so when `leaving` is set.
    """
    about, leaving = About(version, secrets.token_hex(16)), leaving or asyncio.Event()
    given: dict[str, object] = {"fleet": fleet, "events": events, "runs": runs, "upkeep": upkeep}
    given |= {"services": services, "about": about, "leaving": leaving}
    management = HeadAsGet(application(given, access, version), may_be_endless)
    return Doors(Gateway(fleet, access.work_token), management, rules, access.work_token)


def application(given: Mapping[str, object], access: Access, version: str) -> Litestar:
    """The routes alone, whose handlers are `given` these; `create_app` is what may be served."""
    return Litestar(
        route_handlers=[*_HANDLERS, actions(), vllm()],
        dependencies={name: _always(value) for name, value in given.items()},
        guards=[Gate(access), each_once],
        request_class=LenientRequest,
        exception_handlers={
            AtollError: refused,
            HTTPException: rejected,
            RecursionError: too_deep,
            Exception: crashed,
        },
        openapi_config=openapi_config(version),
        state=State({"access": access}),
        # The default one starts a thread that nobody asked for.
        logging_config=None,
    )


def _always(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)


def may_be_endless(path: str) -> bool:
    """Whether a GET may never end: logs, events; an agent may be called `logs` or `events`."""
    match path.rstrip("/").split("/")[1:]:
        case ["api", "v1", "events"]:
            return True
        case ["api", "v1", "agents" | "services", _, "logs" | "events"] | ["run", _, "events"]:
            return True
        case _:
            return False
