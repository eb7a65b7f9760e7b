"""Ollama's routes as the reference tells them."""

from functools import partial

from atoll.http.ollama import wire
from atoll.http.ollama.embed import EmbedAnswer, EmbedBody, EmbeddingsAnswer, EmbeddingsRequest
from atoll.http.ollama.library import Progress, PullRequest, Status
from atoll.http.reference.operation import NAME, NDJSON, TEXT, Operation
from atoll.wire.json import JsonObject

_SAID: JsonObject = {"role": "user", "content": "Hello"}
_get, _post = partial(Operation, "get", group="Ollama"), partial(Operation, "post", group="Ollama")

OLLAMA = (
    _get(
        path="/",
        summary="Whether it runs",
        description="Ollama's sign of life, which its clients look for before they ask more.",
        gives=str,
        media=TEXT,
    ),
    _get(
        path="/api/version",
        summary="The version",
        description="The version of Ollama's API that is spoken here, for clients that ask for "
        "a newer one than they can use.",
        gives=wire.Version,
    ),
    _get(
        path="/api/tags",
        summary="The models",
        description="Each agent is a model to Ollama's clients; an agent's own port has one.",
        gives=wire.Tags,
    ),
    _get(
        path="/api/ps",
        summary="The loaded models",
        description="The agents that are ready to answer, with the context that they have room "
        "for.",
        gives=wire.Ps,
    ),
    _get(
        path="/api/status",
        summary="Cloud features",
        description="Ollama's clients ask whether its cloud may be used. There is none here.",
        gives=Status,
    ),
    _post(
        path="/api/show",
        summary="What a model is and can do",
        description="The agent's template, parameters, capabilities and the length of its "
        "context; clients decide by it whether they offer tools and images.",
        takes=wire.NameRequest,
        example={"model": NAME},
        gives=wire.Show,
    ),
    _post(
        path="/api/chat",
        summary="The next answer of a conversation",
        description="The client sends the whole conversation each time; nothing is remembered. "
        "The answer is NDJSON, one chunk a line, unless `stream` is false. The agent's own "
        "tools run inside the turn; tools that the client sends end it with a call.",
        takes=wire.ChatRequest,
        example={"model": NAME, "messages": [_SAID]},
        gives=wire.ChatChunk,
        streams=(wire.ChatChunk,),
        flow=NDJSON,
        turn=True,
    ),
    _post(
        path="/api/generate",
        summary="An answer to one prompt",
        description="As `/api/chat` with one message; NDJSON unless `stream` is false. An empty "
        "prompt only loads the model.",
        takes=wire.GenerateRequest,
        example={"model": NAME, "prompt": "Hello"},
        gives=wire.GenerateChunk,
        streams=(wire.GenerateChunk,),
        flow=NDJSON,
        turn=True,
    ),
    _post(
        path="/api/embed",
        summary="Texts as vectors",
        description="One text or a list of them; the vectors have length 1. 400 where the "
        "agent's model makes none.",
        takes=EmbedBody,
        example={"model": NAME, "input": ["Hello"]},
        gives=EmbedAnswer,
    ),
    _post(
        path="/api/embeddings",
        summary="One text as a vector",
        description="The older form of `/api/embed`; its vector is as the model gave it.",
        takes=EmbeddingsRequest,
        example={"model": NAME, "prompt": "Hello"},
        gives=EmbeddingsAnswer,
    ),
    _post(
        path="/api/pull",
        summary="Success for a model that is here",
        description="Clients pull before they ask. Nothing is fetched: an agent that is here is "
        "a success, another name is 404.",
        takes=PullRequest,
        example={"model": NAME},
        gives=Progress,
        streams=(Progress,),
        flow=NDJSON,
    ),
)
