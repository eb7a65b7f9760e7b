"""The routes of an agent with what they take and give, and an example of each.

By hand: the routes of turns are raw handlers, of which Litestar knows no types.
What is refused in another dialect's words (`/api/push` and its like) is left out.
"""

from functools import partial

from atoll.http.health import HealthAnswer, ReadyAnswer
from atoll.http.reference.conversations import CONVERSATIONS, EVENTS
from atoll.http.reference.ollama import OLLAMA
from atoll.http.reference.openai import ANTHROPIC, OPENAI
from atoll.http.reference.operation import HTML, Operation

_get = partial(Operation, "get", group="Agent")
_PAGE = (
    " Where it is not installed, and with no script at all, the same routes as one page with a "
    "command to try each."
)
_AGENT = (
    _get(
        path="/health",
        summary="The process and its back end",
        description="200 as long as the process itself works; `degraded`, with a reason, when a "
        "turn might fail. It needs no token.",
        gives=HealthAnswer,
    ),
    _get(
        path="/ready",
        summary="Whether a turn would pass",
        description="As `/health`, with 503 when a turn would fail: what a load balancer asks.",
        gives=ReadyAnswer,
    ),
    _get(
        path="/openapi.json",
        summary="This description",
        description="An OpenAPI 3.1 document of every route of this port, for tools.",
        gives=dict,
    ),
    _get(
        path="/docs",
        summary="Swagger UI",
        description="This description as a page on which routes can be tried." + _PAGE,
        gives=str,
        media=HTML,
    ),
    _get(
        path="/redoc",
        summary="Redoc",
        description="This description as a page to read." + _PAGE,
        gives=str,
        media=HTML,
    ),
    _get(
        path="/scalar",
        summary="Scalar",
        description="This description as a page with a client beside it." + _PAGE,
        gives=str,
        media=HTML,
    ),
)

OPERATIONS = (*OLLAMA, *OPENAI, *ANTHROPIC, *CONVERSATIONS, *EVENTS, *_AGENT)
GROUPS = {
    "Ollama": "Ollama's API, in which an agent is a model.",
    "OpenAI": "OpenAI's API, in which an agent is a model.",
    "Anthropic": "Anthropic's Messages API.",
    "Conversations": "Sessions that an agent remembers: Kawai's and fleet-rlm's routes.",
    "Events": "Turns with everything that happens in them.",
    "Agent": "The agent itself, and this reference.",
}
"""What the groups are."""
