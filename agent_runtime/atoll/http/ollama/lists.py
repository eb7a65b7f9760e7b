"""Ollama's routes about models: what there is, what it can do, what is loaded."""

import time

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.enums import MediaType

from atoll.http.access import agent_of
from atoll.http.checks import check_model, known_info, required
from atoll.http.decoding import decode
from atoll.http.ollama.models import list_models, ps_model
from atoll.http.ollama.models import show as show_model
from atoll.http.ollama.requests import name_decoder
from atoll.http.ollama.wire import Ps, Show, Tags, Version

AnyRequest = Request[object, object, State]

OLLAMA_VERSION = "0.13.0"
"""The version of Ollama's API that is spoken. Clients compare it number by number and VS Code
wants 0.6.4 at least, so it is not our own version."""


@get("/", media_type=MediaType.TEXT)
async def root() -> str:
    """What Ollama says on its root; many clients probe it."""
    return "Ollama is running"


@get("/api/version")
async def version() -> Version:
    """The Ollama version."""
    return Version(OLLAMA_VERSION)


@get("/api/tags")
async def tags(request: AnyRequest) -> Tags:
    """The agent, and its model's name as an alias."""
    agent = agent_of(request.app)
    return Tags(list_models(agent, await known_info(agent)))


@get("/api/ps")
async def ps(request: AnyRequest) -> Ps:
    """The agent while its model counts as loaded."""
    agent = agent_of(request.app)
    until = agent.loaded_until
    if until is None or until <= time.time():
        return Ps([])
    return Ps([ps_model(agent, await known_info(agent), until)])


@post("/api/show", status_code=200)
async def show(request: AnyRequest) -> Show:
    """What the agent and its model are and can do; the model as the back end describes it."""
    agent = agent_of(request.app)
    asked = decode(name_decoder, await request.body())
    model = required(asked.model or asked.name)
    check_model(agent, model)
    # Copilot shows the base name as the model's name and would not find what it asked for.
    copilot = request.headers.get("user-agent", "").startswith("GitHubCopilotChat/")
    return show_model(agent, await known_info(agent), model if copilot else "")
