"""A call of the model that is nobody's turn: what it says is not shown."""

from contextlib import aclosing

from msgspec import Struct

from atoll.core.loop import Ask
from atoll.loop.admission import Admission
from atoll.loop.model_call import ModelCall
from atoll.ports import Clock, Model, ModelRequest
from atoll.wire.messages import Usage


class Said(Struct, frozen=True):
    """The whole answer and what it cost; `is_cut` when the model did not come to its end."""

    text: str
    is_cut: bool
    usage: Usage


class HiddenCall:
    """Asks the model; takes a place for it as a turn does."""

    def __init__(self, model: Model, admission: Admission, clock: Clock) -> None:
        self._model = model
        self._admission = admission
        self._clock = clock

    async def ask(self, request: ModelRequest) -> Said:
        """The answer; raises Busy when the queue is full, and what the model raises."""
        call = ModelCall(self._clock, Ask(messages=request.messages, visible=False))
        async with (
            self._admission,
            aclosing(self._model.stream(request)) as chunks,
        ):
            async for chunk in chunks:
                call.take(chunk)
        reply = call.reply
        return Said(reply.text, reply.reason == "length", call.usage)
