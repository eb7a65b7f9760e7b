"""An output item while it grows: the events of its beginning, its pieces and its end. Pure."""

import msgspec

from atoll.http.responses.objects import (
    CallItem,
    ItemStatus,
    MessageItem,
    ReasoningItem,
    SummaryPart,
    TextPart,
)
from atoll.http.responses.stream_events import (
    ArgumentsDone,
    ArgumentsMore,
    ItemAdded,
    ItemDone,
    PartAdded,
    PartDone,
    StreamEvent,
    TextDone,
    TextMore,
    ThoughtDone,
    ThoughtMore,
)


class GrowingMessage:
    """A message; `place` is its index in the output."""

    prefix = "msg"

    def __init__(self, item_id: str, place: int) -> None:
        self._id = item_id
        self._place = place
        self._said: list[str] = []

    def begin(self) -> list[StreamEvent]:
        """Announce it, empty."""
        item = MessageItem(self._id, "in_progress", ())
        return [
            ItemAdded(output_index=self._place, item=item),
            PartAdded(item_id=self._id, output_index=self._place, part=TextPart("")),
        ]

    def more(self, text: str) -> StreamEvent:
        """Add a piece."""
        self._said.append(text)
        return TextMore(item_id=self._id, output_index=self._place, delta=text)

    def item(self, status: ItemStatus) -> MessageItem:
        """All of it so far."""
        return message_item(self._id, "".join(self._said), status)

    def end(self, status: ItemStatus) -> list[StreamEvent]:
        """Close it."""
        item = self.item(status)
        [part] = item.content
        return [
            TextDone(item_id=self._id, output_index=self._place, text=part.text),
            PartDone(item_id=self._id, output_index=self._place, part=part),
            ItemDone(output_index=self._place, item=item),
        ]


class GrowingReasoning:
    """A reasoning item; `place` is its index in the output."""

    prefix = "rs"

    def __init__(self, item_id: str, place: int) -> None:
        self._id = item_id
        self._place = place
        self._thought: list[str] = []

    def begin(self) -> list[StreamEvent]:
        """Announce it, empty."""
        item = ReasoningItem(self._id, "in_progress", ())
        return [ItemAdded(output_index=self._place, item=item)]

    def more(self, text: str) -> StreamEvent:
        """Add a piece."""
        self._thought.append(text)
        return ThoughtMore(item_id=self._id, output_index=self._place, delta=text)

    def item(self, status: ItemStatus) -> ReasoningItem:
        """All of it so far."""
        return reasoning_item(self._id, "".join(self._thought), status)

    def end(self, status: ItemStatus) -> list[StreamEvent]:
        """Close it."""
        item = self.item(status)
        [part] = item.summary
        return [
            ThoughtDone(item_id=self._id, output_index=self._place, text=part.text),
            ItemDone(output_index=self._place, item=item),
        ]


Growing = GrowingMessage | GrowingReasoning


def message_item(item_id: str, text: str, status: ItemStatus) -> MessageItem:
    """A message with one part."""
    return MessageItem(item_id, status, (TextPart(text),))


def reasoning_item(item_id: str, text: str, status: ItemStatus) -> ReasoningItem:
    """A reasoning item with one part."""
    return ReasoningItem(item_id, status, (SummaryPart(text),))


def call_events(call: CallItem, place: int) -> list[StreamEvent]:
    """A whole call: the runtime knows its arguments only when they are complete."""
    empty = msgspec.structs.replace(call, status="in_progress", arguments="")
    return [
        ItemAdded(output_index=place, item=empty),
        ArgumentsMore(item_id=call.id, output_index=place, delta=call.arguments),
        ArgumentsDone(
            item_id=call.id, output_index=place, name=call.name, arguments=call.arguments
        ),
        ItemDone(output_index=place, item=call),
    ]
