"""`/api/v1/vllm`: prompts to model servers, under the name that the source page gave them."""

from litestar import Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from atoll_supervisor.api.auth import PUBLIC, Access, Unauthorized, offered
from atoll_supervisor.api.health import AnyServices
from atoll_supervisor.api.services import NO_SERVICE, ServiceId
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt
from atoll_supervisor.core.services.record import ServiceRow
from atoll_supervisor.core.services.summary import ModelList

_UNREADY = {
    502: ResponseSpec(NotAnswered, description="The model server refused or failed"),
    503: ResponseSpec(NotAnswered, description="The service is not ready"),
}


class ModelGate:
    """Where agents want a token of their clients, model servers want it too, or the daemon's."""

    def __init__(self, access: Access, agent_token: str) -> None:
        self._admitted = (Access(agent_token), access) if agent_token else ()

    def __call__(
        self,
        connection: ASGIConnection[BaseRouteHandler, object, object, State],
        _handler: BaseRouteHandler,
    ) -> None:
        """Return when the connection may pass; raises Unauthorized."""
        shown = offered(connection)
        if self._admitted and not any(access.admits(shown) for access in self._admitted):
            raise Unauthorized("this needs the agents' token, ATOLL_AGENT_TOKEN of the daemon")


@get(
    "/services", opt=PUBLIC, operation_id="list_vllm_services", tags=["vllm"], sync_to_thread=False
)
def list_model_services(services: AnyServices) -> tuple[ServiceRow, ...]:
    """Every service that speaks OpenAI's API."""
    return services.rows("openai")


@post(
    "/{name:str}/prompt",
    opt=PUBLIC,
    status_code=200,
    operation_id="prompt_service",
    tags=["vllm"],
    responses={200: ResponseSpec(Answered, description="The answer"), **_UNREADY, **NO_SERVICE},
)
async def prompt_service(
    services: AnyServices, name: ServiceId, data: JSONBody[Prompt]
) -> Response[Answered] | Response[NotAnswered]:
    """Send a prompt as a chat; a model without a chat template gets it as a completion."""
    answer = await services.prompt(name, data)
    if isinstance(answer, NotAnswered):
        return Response(answer, status_code=answer.http_status)
    return Response(answer, status_code=200)


@get(
    "/{name:str}/models",
    opt=PUBLIC,
    operation_id="list_service_models",
    tags=["vllm"],
    responses={200: ResponseSpec(ModelList, description="The models"), **_UNREADY, **NO_SERVICE},
)
async def list_models(
    services: AnyServices, name: ServiceId
) -> Response[ModelList] | Response[NotAnswered]:
    """The models that a service serves."""
    answer = await services.models(name)
    if isinstance(answer, NotAnswered):
        return Response(answer, status_code=answer.http_status)
    return Response(answer, status_code=200)


def vllm(access: Access, agent_token: str) -> Router:
    """The routes, for whoever may use models."""
    handlers = [list_model_services, prompt_service, list_models]
    guards = [ModelGate(access, agent_token)]
    return Router("/api/v1/vllm", route_handlers=handlers, guards=guards)
