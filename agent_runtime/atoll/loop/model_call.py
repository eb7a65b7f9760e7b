"""One call of the model inside a turn: its chunks become events and one reply."""

from typing import assert_never

from atoll.core.lenient import may_be_call
from atoll.core.loop import Ask, Replied
from atoll.ports import CallsDelta, Chunk, Clock, Done, TextDelta, ThinkingDelta
from atoll.wire.events import Reasoning, Token
from atoll.wire.messages import Call, Usage


class ModelCall:
    """Collects one reply; `reply`, `held` and `usage` are complete after the last chunk.

    Where tools are offered, text that may turn out to be a tool call written
    as text is held back until that is clear: a client never sees half a call.
    """

    def __init__(self, clock: Clock, ask: Ask) -> None:
        self._clock = clock
        self._visible = ask.visible
        self._sifting = bool(ask.tools)
        self._text: list[str] = []
        self._shown_from = 0
        self._calls: tuple[Call, ...] = ()
        self._done = Done("stop", Usage())
        self._began = clock.monotonic_ns()
        self._first = 0

    def take(self, chunk: Chunk) -> Token | Reasoning | None:
        """Note a chunk; return what the client may see of it now."""
        self._first = self._first or self._clock.monotonic_ns()
        match chunk:
            case TextDelta(text):
                shown = self._take_text(text)
                return Token(shown) if shown and self._visible else None
            case ThinkingDelta(text):
                return Reasoning(text) if self._visible else None
            case CallsDelta(calls):
                self._calls += calls
            case Done():
                self._done = chunk
            case _:
                assert_never(chunk)
        return None

    @property
    def reply(self) -> Replied:
        """The whole reply."""
        return Replied("".join(self._text), self._calls, self._done.reason)

    @property
    def held(self) -> str:
        """Text that was held back to the end: a tool call, or an answer that looks like one."""
        return "".join(self._text[self._shown_from :]) if self._visible else ""

    @property
    def usage(self) -> Usage:
        """What the call cost: the back end's figures, our own clock where it has none."""
        said = self._done.usage
        now = self._clock.monotonic_ns()
        first = self._first or now
        return Usage(
            prompt_tokens=said.prompt_tokens,
            completion_tokens=said.completion_tokens,
            load_ns=said.load_ns,
            prompt_ns=said.prompt_ns or max(1, first - self._began),
            completion_ns=said.completion_ns or max(1, now - first),
        )

    def _take_text(self, text: str) -> str:
        self._text.append(text)
        if self._sifting and may_be_call(self.held):
            return ""
        self._sifting = False
        shown = "".join(self._text[self._shown_from :])
        self._shown_from = len(self._text)
        return shown
