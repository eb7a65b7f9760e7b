"""Ollama's JSON, both ways (ollama-api.md 1.2-1.4)."""

import msgspec
from msgspec import Struct

from atoll.adapters.ids import new_call_id
from atoll.adapters.lenient_json import arguments_of
from atoll.adapters.logprobs import LogprobIn, logprobs_of
from atoll.ports import (
    CallsDelta,
    Chunk,
    Done,
    EmbedRequest,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
)
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, Message, Options, ToolSpec, Usage


class Function(Struct):
    """The tool a call names."""

    name: str
    arguments: JsonObject | str | None = None


class ToolCall(Struct):
    """One call; look-alikes leave the id out."""

    function: Function
    id: str | None = None


class Said(Struct):
    """The message of one line of /api/chat."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Line(Struct):
    """One line of /api/chat or /api/generate."""

    message: Said | None = None
    response: str | None = None
    thinking: str | None = None
    logprobs: list[LogprobIn] | None = None
    error: JsonValue = None
    done: bool = False
    done_reason: str | None = None
    load_duration: float | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: float | None = None
    eval_count: int | None = None
    eval_duration: float | None = None


class Details(Struct):
    """A model's `details`."""

    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None


class Show(Struct):
    """What /api/show answers, as far as we need it."""

    details: Details | None = None
    model_info: JsonObject | None = None
    capabilities: list[str] | None = None


class Listed(Struct):
    """One model of /api/tags."""

    name: str = ""
    model: str = ""
    size: int | None = None


class Tags(Struct):
    """What /api/tags answers."""

    models: list[Listed] | None = None


LINE = msgspec.json.Decoder(Line)
SHOW = msgspec.json.Decoder(Show)
TAGS = msgspec.json.Decoder(Tags)


def chunks_of(line: Line, alternatives: int | None = None) -> list[Chunk]:
    """What one line says, thinking before text before calls.

    `alternatives` None leaves logprobs out. Ollama also sends lines that have
    nothing else, for text that comes later.
    """
    said = line.message or Said(content=line.response, thinking=line.thinking)
    chunks: list[Chunk] = []
    logprobs = logprobs_of(line.logprobs, alternatives)
    of_text = bool(said.content) or not said.thinking
    if said.thinking:
        chunks.append(ThinkingDelta(said.thinking, () if of_text else logprobs))
    if said.content or (of_text and logprobs):
        chunks.append(TextDelta(said.content or "", logprobs))
    if said.tool_calls:
        chunks.append(CallsDelta(tuple(_call(call) for call in said.tool_calls)))
    return chunks


def _call(call: ToolCall) -> Call:
    name = call.function.name
    return Call(call.id or new_call_id(), name, arguments_of(call.function.arguments, name))


def done_of(line: Line, usage: Usage) -> Done:
    """The end; Ollama's other reasons (load, unload) are no reason to stop early."""
    return Done("length" if line.done_reason == "length" else "stop", usage)


def usage_of(line: Line) -> Usage:
    """What the last line counts; look-alikes leave parts out, which are 0 then."""
    return Usage(
        prompt_tokens=line.prompt_eval_count or 0,
        completion_tokens=line.eval_count or 0,
        load_ns=int(line.load_duration or 0),
        prompt_ns=int(line.prompt_eval_duration or 0),
        completion_ns=int(line.eval_duration or 0),
    )


def body_of(model: str, request: ModelRequest) -> JsonObject:
    """The body for /api/chat, or for /api/generate when there is a raw prompt."""
    body: JsonObject = {"model": model, "stream": True}
    if request.raw_prompt is not None:
        # With a suffix the model's own template has to put the two parts into place.
        way: JsonObject = {"suffix": request.suffix} if request.suffix else {"raw": True}
        body |= {"prompt": request.raw_prompt, **way}
    else:
        body["messages"] = [_message(message) for message in request.messages]
        if request.tools:
            body["tools"] = [tool_json(tool) for tool in request.tools]
    if options := options_json(request.options):
        body["options"] = options
    rest: JsonObject = {
        "format": request.format,
        "think": request.think,
        "keep_alive": request.keep_alive,
    }
    if request.logprobs:
        rest |= {"logprobs": True, "top_logprobs": request.top_logprobs or None}
    return body | {key: value for key, value in rest.items() if value is not None}


def embed_body_of(model: str, request: EmbedRequest) -> JsonObject:
    """The body for /api/embed."""
    inputs: list[JsonValue] = list(request.inputs)
    body: JsonObject = {"model": model, "input": inputs, "truncate": request.truncate}
    rest: JsonObject = {
        "dimensions": request.dimensions,
        "options": options_json(request.options) or None,
        "keep_alive": request.keep_alive,
    }
    return body | {key: value for key, value in rest.items() if value is not None}


def options_json(options: Options) -> JsonObject:
    """Ollama's `options`: its own names, `extra` below what is named."""
    named: JsonObject = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "min_p": options.min_p,
        "num_predict": options.max_tokens,
        "seed": options.seed,
        "stop": list(options.stop) or None,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "repeat_penalty": options.repeat_penalty,
    }
    return options.extra | {key: value for key, value in named.items() if value is not None}


def tool_json(tool: ToolSpec) -> JsonObject:
    """A tool in the shape that Ollama and OpenAI share."""
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _message(message: Message) -> JsonObject:
    calls: list[JsonValue] = [
        {"id": c.id, "function": {"index": i, "name": c.name, "arguments": c.arguments}}
        for i, c in enumerate(message.calls)
    ]
    rest: JsonObject = {
        "thinking": message.thinking,
        "images": list(message.images),
        "tool_calls": calls,
        "tool_name": message.tool_name,
        "tool_call_id": message.call_id,
    }
    told: JsonObject = {"role": message.role, "content": message.content}
    return told | {key: value for key, value in rest.items() if value}
