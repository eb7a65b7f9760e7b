"""OpenAI's and Anthropic's routes as the reference tells them."""

from functools import partial

from atoll.http.anthropic import wire as anthropic
from atoll.http.openai import embeddings, legacy_wire, wire
from atoll.http.reference.operation import NAME, Operation
from atoll.http.responses.wire import ResponseRequest
from atoll.wire.json import JsonObject

_SAID: JsonObject = {"role": "user", "content": "Hello"}
_get, _post = partial(Operation, "get", group="OpenAI"), partial(Operation, "post", group="OpenAI")

OPENAI = (
    _get(
        path="/v1/models",
        summary="The models",
        description="Each agent is a model; an agent's own port has one.",
        gives=wire.ModelList,
    ),
    _get(
        path="/v1/models/{model_id}",
        summary="One model",
        description="One of the list, by any spelling of its name.",
        gives=wire.ModelOut,
        parameters={"model_id": (NAME, "Any spelling of the agent's name")},
    ),
    _post(
        path="/v1/chat/completions",
        summary="The next answer of a conversation",
        description="The client sends the whole conversation each time. One JSON object, or "
        "server-sent events with `stream`; `response_format` holds the answer to a JSON schema.",
        takes=wire.CompletionRequest,
        example={"model": NAME, "messages": [_SAID]},
        gives=wire.Completion,
        streams=(wire.CompletionChunk,),
        turn=True,
    ),
    _post(
        path="/v1/completions",
        summary="An answer to one prompt",
        description="The older form without messages; server-sent events with `stream`.",
        takes=legacy_wire.TextRequest,
        example={"model": NAME, "prompt": "Hello", "max_tokens": 64},
        gives=legacy_wire.TextCompletion,
        streams=(legacy_wire.TextCompletion,),
        turn=True,
    ),
    _post(
        path="/v1/embeddings",
        summary="Texts as vectors",
        description="One text or a list of them, as floats or with `encoding_format: base64`. "
        "400 where the agent's model makes none.",
        takes=embeddings.EmbeddingsRequest,
        example={"model": NAME, "input": ["Hello"]},
        gives=embeddings.EmbeddingList,
    ),
    _post(
        path="/v1/responses",
        summary="Open Responses, stateless",
        description="The newer form of a turn; server-sent events with `stream`. No answer is "
        "stored, so `previous_response_id` and `background` are refused.",
        takes=ResponseRequest,
        example={"model": NAME, "input": "Hello"},
        gives=dict,
        streams=(dict,),
        turn=True,
    ),
)
ANTHROPIC = (
    Operation(
        "post",
        "/v1/messages",
        "Anthropic",
        "The next message",
        "Anthropic's form of a turn; server-sent events with `stream`. `max_tokens` must be given.",
        takes=anthropic.MessagesRequest,
        example={"model": NAME, "max_tokens": 64, "messages": [_SAID]},
        gives=anthropic.MessageOut,
        streams=(
            *(anthropic.MessageStart, anthropic.Ping, anthropic.BlockStart, anthropic.BlockDelta),
            *(anthropic.BlockStop, anthropic.MessageDelta, anthropic.MessageStop),
        ),
        turn=True,
    ),
)
