"""`POST /api/v1/reload` and `/api/v1/upgrade`: new manifests, new code, the same agents."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import Parameter, SkipValidation

from atoll_supervisor.api.agents import expect_nothing
from atoll_supervisor.api.auth import BY_TOKEN
from atoll_supervisor.api.health import About
from atoll_supervisor.api.problems import described
from atoll_supervisor.core.answers import Reloaded, Upgrading
from atoll_supervisor.ports import Upkeep

AnyUpkeep = NamedDependency[SkipValidation[Upkeep]]
Runtime = Annotated[bool, Parameter(description="true: also the runtime that agents run on")]


@post(
    "/api/v1/reload",
    status_code=200,
    operation_id="reload",
    tags=["daemon"],
    security=BY_TOKEN,
    responses=described(400, 401, 415),
    before_request=expect_nothing,
)
async def reload(upkeep: AnyUpkeep, runtime: Runtime = False) -> Reloaded:
    """Read the agents directory again; with `runtime`, move every agent to the code on the disk.

    Agents that have to be replaced are so side by side; the answer does not wait for that.
    """
    await upkeep.reload()
    return Reloaded(await upkeep.reload_runtime() if runtime else ())


@post(
    "/api/v1/upgrade",
    status_code=202,
    operation_id="upgrade",
    tags=["daemon"],
    security=BY_TOKEN,
    responses=described(400, 401, 415),
    before_request=expect_nothing,
)
async def upgrade(upkeep: AnyUpkeep, about: NamedDependency[About]) -> Upgrading:
    """Let the daemon become the program that is on the disk now; no agent is touched.

    The daemon is back, with another `instance_id`, as soon as the requests under way have ended.
    """
    await upkeep.upgrade()
    return Upgrading(about.instance_id)
