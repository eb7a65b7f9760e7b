"""The routes of an agent with the types that they take and give.

By hand: the routes of turns are raw handlers, of which Litestar knows no types.
What is refused in another dialect's words (`/api/push` and its like) is left out.
"""

from typing import Literal, NamedTuple

from atoll.http.anthropic.wire import MessageOut, MessagesRequest
from atoll.http.fleet_rlm.routes import SessionStates
from atoll.http.fleet_rlm.wire import CommandResult, ErrorFrame, EventFrame, Frame
from atoll.http.health import HealthAnswer, ReadyAnswer
from atoll.http.kawai import wire as kawai
from atoll.http.native.routes import TurnBody
from atoll.http.ollama import wire as ollama
from atoll.http.ollama.embed import EmbedAnswer, EmbedBody, EmbeddingsAnswer, EmbeddingsRequest
from atoll.http.ollama.library import Progress, PullRequest, Status
from atoll.http.openai import embeddings as openai_embeddings
from atoll.http.openai import legacy_wire
from atoll.http.openai import wire as openai
from atoll.http.responses.wire import ResponseRequest
from atoll.http.sessions import Cleanup, Sessions
from atoll.wire import events

Group = Literal["Ollama", "OpenAI", "Anthropic", "Conversations", "Events", "Agent"]
Type = type[object]


class Operation(NamedTuple):
    """One method of one path.

    `takes` is a JSON body, `query` what stands in the URL, `gives` the answer in one
    piece, None where it is text or any JSON. `streams` are the types of a stream's parts.
    """

    method: Literal["get", "post", "delete"]
    path: str
    group: Group
    summary: str
    takes: Type | None = None
    gives: Type | None = None
    streams: tuple[Type, ...] = ()
    query: Type | None = None


OPERATIONS = (
    Operation("get", "/", "Ollama", "Whether it runs"),
    Operation("get", "/api/version", "Ollama", "The version", gives=ollama.Version),
    Operation("get", "/api/tags", "Ollama", "The models: this agent", gives=ollama.Tags),
    Operation("get", "/api/ps", "Ollama", "The loaded models", gives=ollama.Ps),
    Operation(
        "get", "/api/status", "Ollama", "Cloud features, of which there are none", gives=Status
    ),
    Operation(
        "post",
        "/api/show",
        "Ollama",
        "What the agent is and can do",
        takes=ollama.NameRequest,
        gives=ollama.Show,
    ),
    Operation(
        "post",
        "/api/chat",
        "Ollama",
        "The next answer of a conversation; NDJSON unless `stream` is false",
        takes=ollama.ChatRequest,
        gives=ollama.ChatChunk,
        streams=(ollama.ChatChunk,),
    ),
    Operation(
        "post",
        "/api/generate",
        "Ollama",
        "An answer to one prompt; NDJSON unless `stream` is false",
        takes=ollama.GenerateRequest,
        gives=ollama.GenerateChunk,
        streams=(ollama.GenerateChunk,),
    ),
    Operation(
        "post", "/api/embed", "Ollama", "Texts as vectors", takes=EmbedBody, gives=EmbedAnswer
    ),
    Operation(
        "post",
        "/api/embeddings",
        "Ollama",
        "One text as a vector",
        takes=EmbeddingsRequest,
        gives=EmbeddingsAnswer,
    ),
    Operation(
        "post",
        "/api/pull",
        "Ollama",
        "Success for a model that is here",
        takes=PullRequest,
        gives=Progress,
        streams=(Progress,),
    ),
    Operation("get", "/v1/models", "OpenAI", "The models: this agent", gives=openai.ModelList),
    Operation("get", "/v1/models/{model_id}", "OpenAI", "One of them", gives=openai.ModelOut),
    Operation(
        "post",
        "/v1/chat/completions",
        "OpenAI",
        "The next answer of a conversation; SSE with `stream`",
        takes=openai.CompletionRequest,
        gives=openai.Completion,
        streams=(openai.CompletionChunk,),
    ),
    Operation(
        "post",
        "/v1/completions",
        "OpenAI",
        "An answer to one prompt; SSE with `stream`",
        takes=legacy_wire.TextRequest,
        gives=legacy_wire.TextCompletion,
        streams=(legacy_wire.TextCompletion,),
    ),
    Operation(
        "post",
        "/v1/embeddings",
        "OpenAI",
        "Texts as vectors",
        takes=openai_embeddings.EmbeddingsRequest,
        gives=openai_embeddings.EmbeddingList,
    ),
    Operation(
        "post",
        "/v1/responses",
        "OpenAI",
        "Open Responses, stateless; SSE with `stream`",
        takes=ResponseRequest,
    ),
    Operation(
        "post",
        "/v1/messages",
        "Anthropic",
        "The next message; SSE with `stream`",
        takes=MessagesRequest,
        gives=MessageOut,
    ),
    Operation(
        "post",
        "/chat",
        "Conversations",
        "One message to a session that remembers, answered whole (Kawai, fleet-rlm)",
        takes=kawai.ChatRequest,
        gives=kawai.ChatAnswer,
    ),
    Operation(
        "get",
        "/stream",
        "Conversations",
        "One message whose steps come as server-sent events (Kawai)",
        query=kawai.ChatRequest,
        streams=(kawai.StreamEvent,),
    ),
    Operation(
        "post",
        "/stream",
        "Conversations",
        "The same with the message in the body",
        takes=kawai.ChatRequest,
        streams=(kawai.StreamEvent,),
    ),
    Operation(
        "post",
        "/api/v1/turns",
        "Events",
        "A turn with everything that happens in it, its children's steps among it; NDJSON",
        takes=TurnBody,
        streams=(
            *(events.RunStart, events.StepStart, events.Token, events.Reasoning),
            *(events.ToolCall, events.ToolResult, events.Planning, events.Warning),
            *(events.Below, events.RunEnd, events.Failure),
        ),
    ),
    Operation(
        "get",
        "/ws/chat",
        "Conversations",
        "A WebSocket for messages, cancel and commands (fleet-rlm)",
        takes=Frame,
        streams=(EventFrame, CommandResult, ErrorFrame),
    ),
    Operation("get", "/sessions", "Conversations", "Every live session", gives=kawai.SessionList),
    Operation(
        "get",
        "/sessions/state",
        "Conversations",
        "The same, as fleet-rlm tells it",
        gives=SessionStates,
    ),
    Operation(
        "get", "/sessions/{session_id}", "Conversations", "One session", gives=kawai.SessionAnswer
    ),
    Operation(
        "delete", "/sessions/{session_id}", "Conversations", "Forget a session", gives=kawai.Deleted
    ),
    Operation(
        "get",
        "/sessions/{session_id}/export",
        "Conversations",
        "Every word of a session",
        gives=kawai.Exported,
    ),
    Operation(
        "get", "/api/sessions", "Conversations", "How many sessions are alive", gives=Sessions
    ),
    Operation(
        "post", "/api/sessions/cleanup", "Conversations", "Delete the expired ones", gives=Cleanup
    ),
    Operation("get", "/health", "Agent", "The process and its back end", gives=HealthAnswer),
    Operation("get", "/ready", "Agent", "503 when a turn would fail", gives=ReadyAnswer),
    Operation("get", "/openapi.json", "Agent", "This description as an OpenAPI document"),
    Operation("get", "/scalar", "Agent", "This page; `/docs` and `/redoc` are it, too"),
)
