"""Response requests as turns; pure, and every fault is a ClientError.

Nothing is stored here (ollama-api.md row E11): what only a store could honour
is refused, `store` itself is answered with false.
"""

import msgspec

from atoll.errors import ClientError
from atoll.http.openai.words import think_of
from atoll.http.responses.items import conversation
from atoll.http.responses.wire import FunctionTool, ResponseRequest, TextFormat
from atoll.http.schemas import checked
from atoll.wire.messages import Format, Message, Options, ToolSpec
from atoll.wire.turn import TurnRequest

decoder = msgspec.json.Decoder(ResponseRequest)


def response_turn(request: ResponseRequest) -> TurnRequest:
    """The turn a request asks for. What it leaves out is the manifest's to say."""
    _check_stateless(request)
    messages = conversation(request.input)
    if not messages:
        raise ClientError("input is required: a string, or a list of items with a message")
    instructions = request.instructions
    system = (Message(role="system", content=instructions),) if instructions else ()
    return TurnRequest(
        model=request.model or "",
        messages=system + messages,
        options=Options(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_output_tokens,
        ),
        client_tools=_tools(request),
        format=_format(request.text.format if request.text else None),
        think=think_of(request.reasoning.effort if request.reasoning else None),
    )


def _check_stateless(request: ResponseRequest) -> None:
    stored = "responses are not stored here, send the whole conversation as input"
    if request.previous_response_id:
        raise ClientError(f"previous_response_id is not supported: {stored}")
    if request.conversation is not None:
        raise ClientError(f"conversation is not supported: {stored}")
    if request.prompt is not None:
        raise ClientError("prompt is not supported: no prompts are stored here, send instructions")
    if request.background:
        raise ClientError("background is not supported: leave it out, and stream if it takes long")


def _tools(request: ResponseRequest) -> tuple[ToolSpec, ...]:
    tools = tuple(_tool(tool) for tool in request.tools or ())
    return () if request.tool_choice == "none" else tools


def _tool(tool: FunctionTool) -> ToolSpec:
    if tool.type != "function":
        raise ClientError(f"tools of type {tool.type!r} are not supported: only 'function' is")
    if not tool.name:
        raise ClientError("a tool of type 'function' needs a name")
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return ToolSpec(tool.name, tool.description or "", parameters)


def _format(given: TextFormat | None) -> Format:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return "json"
    if given.type == "json_schema" and given.schema is not None:
        return checked(given.schema)
    if given.type == "json_schema":
        raise ClientError("text.format of type 'json_schema' needs a schema")
    raise ClientError(f"text.format {given.type!r} is not text, json_object or json_schema")
