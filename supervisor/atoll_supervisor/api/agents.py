"""`/api/v1/agents`: the fleet's rows, and starting, stopping, restarting one agent."""

from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter, SkipValidation
from msgspec import Struct

from atoll.errors import ClientError, NotFound
from atoll_supervisor.api.auth import BY_TOKEN, PUBLIC
from atoll_supervisor.api.problems import AnyRequest, described, no_such_agent
from atoll_supervisor.api.rows import AgentList, AgentRow, agent_row
from atoll_supervisor.core.answers import RowList
from atoll_supervisor.core.row import Row
from atoll_supervisor.ports import Fleet


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an action: `{}`. A field in it is a mistake, not something to ignore."""


AnyFleet = NamedDependency[SkipValidation[Fleet]]
AgentName = Annotated[str, Parameter(description="Any spelling of the agent's name")]
Wait = Annotated[bool, Parameter(description="false: answer 202 at once, not when it is done")]

_ANSWERS = {
    202: ResponseSpec(AgentRow, description="Accepted; the agent is on its way"),
    **described(400, 401, 404, 415),
}
_nothing = msgspec.json.Decoder(Nothing)


@get(
    "/api/v1/agents",
    opt=PUBLIC,
    operation_id="list_agents",
    tags=["agents"],
    sync_to_thread=False,
)
def list_agents(fleet: AnyFleet) -> AgentList:
    """Every agent of the fleet."""
    rows = tuple(map(agent_row, fleet.rows()))
    return AgentList(rows, len(rows))


@get("/agents", opt=PUBLIC, operation_id="list_agents_flock", tags=["flock"], sync_to_thread=False)
def list_agents_flock(fleet: AnyFleet) -> RowList:
    """Every agent of the fleet, under Flock's path and with its schemas and its hand-off."""
    rows = tuple(fleet.rows())
    return RowList(rows, len(rows))


@get(
    "/api/v1/agents/{name:str}",
    opt=PUBLIC,
    operation_id="show_agent",
    tags=["agents"],
    responses=described(400, 404),
    sync_to_thread=False,
)
def show_agent(fleet: AnyFleet, name: AgentName) -> AgentRow:
    """One agent by any spelling of its name."""
    return agent_row(known(fleet, name))


@post("/start", status_code=200, operation_id="start_agent", tags=["agents"], responses=_ANSWERS)
async def start_agent(fleet: AnyFleet, name: AgentName, wait: Wait = True) -> Response[AgentRow]:
    """Start an agent; answers when it serves, or has failed."""
    slug = known(fleet, name).slug
    return _outcome(await fleet.start(slug, wait=wait), wait)


@post("/stop", status_code=200, operation_id="stop_agent", tags=["agents"], responses=_ANSWERS)
async def stop_agent(fleet: AnyFleet, name: AgentName, wait: Wait = True) -> Response[AgentRow]:
    """Stop an agent; answers when its processes are gone."""
    slug = known(fleet, name).slug
    return _outcome(await fleet.stop(slug, wait=wait), wait)


@post(
    "/restart", status_code=200, operation_id="restart_agent", tags=["agents"], responses=_ANSWERS
)
async def restart_agent(fleet: AnyFleet, name: AgentName, wait: Wait = True) -> Response[AgentRow]:
    """Start a new process of an agent and let it take over; its socket is held meanwhile.

    When the new one does not start, the one before goes on serving: `generation` stays, and
    `reason` says why.
    """
    slug = known(fleet, name).slug
    return _outcome(await fleet.restart(slug, wait=wait), wait)


async def expect_nothing(request: AnyRequest) -> None:
    """Refuse a body that says anything: it would be silently ignored otherwise."""
    body = await request.body()
    if not body:
        return
    try:
        _nothing.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the body of this request is {{}} or nothing: {error}") from None


def actions() -> Router:
    """The routes that change an agent."""
    return Router(
        "/api/v1/agents/{name:str}",
        route_handlers=[start_agent, stop_agent, restart_agent],
        before_request=expect_nothing,
        security=BY_TOKEN,
    )


def known(fleet: Fleet, name: str) -> Row:
    """The row of `name`; raises NotFound that offers the nearest name there is."""
    try:
        return fleet.row(name)
    except NotFound:
        raise no_such_agent(fleet, name) from None


def _outcome(row: Row, waited: bool) -> Response[AgentRow]:
    return Response(agent_row(row), status_code=200 if waited else 202)
