"""`/api/v1/vllm`: prompts to model servers, under the name that the source page gave them."""

from typing import TypeVar

from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from atoll.http.hangup import while_connected
from atoll_supervisor.api.auth import WORK
from atoll_supervisor.api.health import AnyServices
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.api.services import NO_SERVICE, ServiceId
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt
from atoll_supervisor.core.services.record import ServiceRow
from atoll_supervisor.core.services.summary import ModelList

Told = TypeVar("Told", Answered, ModelList)

_UNREADY = {
    502: ResponseSpec(NotAnswered, description="The model server refused or failed"),
    503: ResponseSpec(NotAnswered, description="The service is not ready"),
}


@get("/services", opt=WORK, operation_id="list_vllm_services", tags=["vllm"], sync_to_thread=False)
def list_model_services(services: AnyServices) -> tuple[ServiceRow, ...]:
    """Every service that speaks OpenAI's API."""
    return services.rows("openai")


@post(
    "/{name:str}/prompt",
    opt=WORK,
    status_code=200,
    operation_id="prompt_service",
    tags=["vllm"],
    responses={
        200: ResponseSpec(Answered, description="The answer"),
        400: ResponseSpec(NotAnswered, description="The model server will not have the prompt"),
        **_UNREADY,
        **NO_SERVICE,
    },
)
async def prompt_service(
    request: AnyRequest, services: AnyServices, name: ServiceId, data: JSONBody[Prompt]
) -> Response[Answered] | Response[NotAnswered] | Response[None]:
    """Send a prompt as a chat; a model without a chat template gets it as a completion.

    A client that leaves ends the model's work.
    """
    answers: list[Answered | NotAnswered] = []

    async def ask() -> None:
        answers.append(await services.prompt(name, data))

    await while_connected(request.scope, ask())
    if not answers:
        return Response(None, status_code=204)  # nobody is there to read it
    return _answer(answers[0])


@get(
    "/{name:str}/models",
    opt=WORK,
    operation_id="list_service_models",
    tags=["vllm"],
    responses={
        200: ResponseSpec(ModelList, description="The models"),
        **described(400),
        **_UNREADY,
        **NO_SERVICE,
    },
)
async def list_models(
    services: AnyServices, name: ServiceId
) -> Response[ModelList] | Response[NotAnswered]:
    """The models that a service serves."""
    return _answer(await services.models(name))


def _answer(answer: Told | NotAnswered) -> Response[Told] | Response[NotAnswered]:
    if isinstance(answer, NotAnswered):
        return Response(answer, status_code=answer.http_status)
    return Response(answer, status_code=200)


def vllm() -> Router:
    """The routes, for whoever may use models."""
    handlers = [list_model_services, prompt_service, list_models]
    return Router("/api/v1/vllm", route_handlers=handlers)
