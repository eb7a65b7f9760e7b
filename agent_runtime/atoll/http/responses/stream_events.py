"""The server-sent events of `/v1/responses` (ollama-api.md 3.1, protocols.md section 4).

Made without a number: whoever sends them counts.
"""

from msgspec import Struct

from atoll.http.responses.objects import ItemOut, ResponseOut, TextPart


class StreamEvent(Struct, tag_field="type", kw_only=True):
    """What all have in common."""

    sequence_number: int = 0


class Created(StreamEvent, tag="response.created"):
    """First."""

    response: ResponseOut


class InProgress(StreamEvent, tag="response.in_progress"):
    """Second."""

    response: ResponseOut


class ItemAdded(StreamEvent, tag="response.output_item.added"):
    """An item begins, still empty."""

    output_index: int
    item: ItemOut


class ItemDone(StreamEvent, tag="response.output_item.done"):
    """An item is complete."""

    output_index: int
    item: ItemOut


class PartAdded(StreamEvent, tag="response.content_part.added"):
    """The part of a message begins, still empty."""

    item_id: str
    output_index: int
    part: TextPart
    content_index: int = 0


class PartDone(StreamEvent, tag="response.content_part.done"):
    """The part of a message is complete."""

    item_id: str
    output_index: int
    part: TextPart
    content_index: int = 0


class TextMore(StreamEvent, tag="response.output_text.delta"):
    """A piece of a message."""

    item_id: str
    output_index: int
    delta: str
    content_index: int = 0
    logprobs: tuple[()] = ()


class TextDone(StreamEvent, tag="response.output_text.done"):
    """The whole text of a message."""

    item_id: str
    output_index: int
    text: str
    content_index: int = 0
    logprobs: tuple[()] = ()


class ThoughtMore(StreamEvent, tag="response.reasoning_summary_text.delta"):
    """A piece of the thinking."""

    item_id: str
    output_index: int
    delta: str
    summary_index: int = 0


class ThoughtDone(StreamEvent, tag="response.reasoning_summary_text.done"):
    """The whole of it."""

    item_id: str
    output_index: int
    text: str
    summary_index: int = 0


class ArgumentsMore(StreamEvent, tag="response.function_call_arguments.delta"):
    """The arguments of a call; they come in one piece."""

    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(StreamEvent, tag="response.function_call_arguments.done"):
    """All of them."""

    item_id: str
    output_index: int
    name: str
    arguments: str


class Completed(StreamEvent, tag="response.completed"):
    """The last event of an answer."""

    response: ResponseOut


class Incomplete(StreamEvent, tag="response.incomplete"):
    """The last event of an answer that was cut short."""

    response: ResponseOut


class Failed(StreamEvent, tag="response.failed"):
    """The last event of a turn that failed after its first byte."""

    response: ResponseOut
