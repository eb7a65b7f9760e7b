"""The management API put together; every decision is in the modules of the routes."""

import asyncio
import secrets

from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException

from atoll.errors import AtollError
from atoll.http.guard import Guard, GuardRules
from atoll.http.heads import HeadAsGet
from atoll_supervisor.api.agents import actions, list_agents, list_agents_flock, show_agent
from atoll_supervisor.api.auth import Access, Gate
from atoll_supervisor.api.health import About, health
from atoll_supervisor.api.logs import read_logs
from atoll_supervisor.api.openapi import openapi_config, openapi_document
from atoll_supervisor.api.problems import crashed, refused, rejected
from atoll_supervisor.ports import Fleet


def create_app(
    fleet: Fleet,
    access: Access,
    rules: GuardRules,
    version: str,
    *,
    leaving: asyncio.Event | None = None,
) -> Guard:
    """The daemon's ASGI application, with Host, Origin and body checks in front.

    `rules` are the guard's: which hosts and origins may speak to this port.
    Streams that would go on for ever end cleanly when `leaving` is set.
    """
    app = application(fleet, access, version, leaving or asyncio.Event())
    return Guard(HeadAsGet(app, is_log), rules)


def application(fleet: Fleet, access: Access, version: str, leaving: asyncio.Event) -> Litestar:
    """The routes alone; `create_app` is what may be served."""
    about = About(version, secrets.token_hex(16))
    given = {"fleet": fleet, "about": about, "leaving": leaving}
    return Litestar(
        route_handlers=[
            health,
            list_agents,
            list_agents_flock,
            show_agent,
            read_logs,
            actions(),
            openapi_document,
        ],
        dependencies={name: _always(value) for name, value in given.items()},
        guards=[Gate(access)],
        exception_handlers={
            AtollError: refused,
            HTTPException: rejected,
            Exception: crashed,
        },
        openapi_config=openapi_config(version),
        # The default one starts a thread that nobody asked for.
        logging_config=None,
    )


def _always(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)


def is_log(path: str) -> bool:
    """`/api/v1/agents/{name}/logs`, whose GET may never end; an agent may be called `logs`."""
    return path.rstrip("/").split("/")[5:] == ["logs"]
