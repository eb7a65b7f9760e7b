"""Messages requests as turns; pure, and every fault is a ClientError."""

import msgspec

from atoll.errors import ClientError
from atoll.http.anthropic.blocks import plain_text, spoken
from atoll.http.anthropic.wire import MessagesRequest, OutputFormat, Thinking, Tool
from atoll.wire.messages import Format, Message, Options, Think, ToolSpec
from atoll.wire.turn import TurnRequest

decoder = msgspec.json.Decoder(MessagesRequest)


def message_turn(request: MessagesRequest) -> TurnRequest:
    """The turn a request asks for. What it leaves out is the manifest's to say."""
    if request.max_tokens is None or request.max_tokens <= 0:
        raise ClientError("max_tokens is required and must be positive")
    told = tuple(made for given in request.messages or () for made in spoken(given))
    if not told:
        raise ClientError("messages is required: a list of at least one message with content")
    system = plain_text(request.system)
    own = (Message(role="system", content=system),) if system else ()
    return TurnRequest(
        model=request.model or "",
        messages=own + told,
        options=_options(request),
        client_tools=_tools(request),
        format=_format(request),
        think=_think(request.thinking),
    )


def _options(request: MessagesRequest) -> Options:
    return Options(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        max_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences or ()),
    )


def _tools(request: MessagesRequest) -> tuple[ToolSpec, ...]:
    """The tools on offer. `none` withdraws them; no back end can be forced to call one."""
    tools = tuple(_tool(tool) for tool in request.tools or ())
    forbidden = request.tool_choice is not None and request.tool_choice.type == "none"
    return () if forbidden else tools


def _tool(tool: Tool) -> ToolSpec:
    if tool.type not in (None, "custom"):
        raise ClientError(f"tools of type {tool.type!r} are not supported: only 'custom' are")
    if tool.input_schema is None:
        raise ClientError(f"the tool {tool.name!r} needs an input_schema")
    return ToolSpec(tool.name, tool.description or "", tool.input_schema)


def _format(request: MessagesRequest) -> Format:
    config = request.output_config
    wanted = config.format if config and config.format else request.output_format
    return None if wanted is None else _schema(wanted)


def _schema(wanted: OutputFormat) -> Format:
    if wanted.type != "json_schema" or wanted.schema is None:
        raise ClientError(f"an output format of type {wanted.type!r} is not json_schema and schema")
    return wanted.schema


def _think(thinking: Thinking | None) -> Think:
    match thinking:
        case None:
            return None
        case Thinking(type="enabled" | "adaptive"):
            return True
        case Thinking(type="disabled"):
            return False
        case _:
            raise ClientError(f"thinking {thinking.type!r} is not enabled, adaptive or disabled")
