"""What clients send to `POST /v1/responses`.

Requests take null for absent and ignore unknown keys (include, store, user,
truncation, ...). Input items are one flat shape: a message may leave its type
out, and what kinds there are is for `items.py` to say, with a sentence.
"""

from msgspec import Struct

from atoll.wire.json import JsonObject, JsonValue


class PartIn(Struct):
    """A part of a message's content, or of a tool's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class ItemIn(Struct):
    """One item of the input."""

    type: str | None = None
    role: str | None = None
    content: str | list[PartIn] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[PartIn] | None = None


class FunctionTool(Struct):
    """A tool that the client offers; answers repeat it as it came."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class TextFormat(Struct, omit_defaults=True):
    """How the answer must look: text, json_object or json_schema; answers repeat it."""

    type: str
    name: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None


class TextIn(Struct):
    """The settings of the text."""

    format: TextFormat | None = None


class ReasoningIn(Struct):
    """The settings of the thinking."""

    effort: str | None = None


class ResponseRequest(Struct):
    """`POST /v1/responses`."""

    model: str | None = None
    input: str | list[ItemIn] | None = None
    instructions: str | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: JsonValue = None
    text: TextIn | None = None
    reasoning: ReasoningIn | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    parallel_tool_calls: bool | None = None
    metadata: JsonObject | None = None
    stream: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: JsonValue = None
    prompt: JsonValue = None
