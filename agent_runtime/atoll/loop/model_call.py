"""One call of the model inside a turn: its chunks become events and one reply."""

from typing import assert_never

from atoll.core.lenient import may_be_call
from atoll.core.loop import Ask, Replied
from atoll.errors import UpstreamGarbage
from atoll.ports import CallsDelta, Chunk, Clock, Done, TextDelta, ThinkingDelta
from atoll.wire.events import Reasoning, Token
from atoll.wire.messages import Call, Usage

MAX_REPLY = 32 * 1024 * 1024
"""Characters of one reply, thinking included; far more than the longest models can write.

A model that never stops ends here, whatever limit it was told.
"""


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
        self._waiting: list[TextDelta] = []
        self._calls: tuple[Call, ...] = ()
        self._done = Done("stop", Usage())
        self._began = clock.monotonic_ns()
        self._first = 0
        self._length = 0

    def take(self, chunk: Chunk) -> Token | Reasoning | None:
        """Note a chunk; return what the client may see of it now.

        Raises UpstreamGarbage for a reply that is over MAX_REPLY characters.
        """
        self._first = self._first or self._clock.monotonic_ns()
        match chunk:
            case TextDelta():
                if (length := self._length + len(chunk.text)) > MAX_REPLY:
                    raise _endless()
                self._length = length
                return self._take_text(chunk)
            case ThinkingDelta(text, logprobs):
                if (length := self._length + len(text)) > MAX_REPLY:
                    raise _endless()
                self._length = length
                return Reasoning(text, logprobs) if self._visible else None
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
    def held(self) -> Token | None:
        """Text that was held back to the end: a tool call, or an answer that looks like one."""
        return self._unshown() if self._visible else None

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

    def _take_text(self, delta: TextDelta) -> Token | None:
        self._text.append(delta.text)
        if not self._sifting:
            is_shown = self._visible and (delta.text != "" or delta.logprobs != ())
            return Token(delta.text, delta.logprobs) if is_shown else None
        self._waiting.append(delta)
        self._sifting = may_be_call(_text_of(self._waiting))
        if self._sifting:
            return None
        shown = self._unshown()
        self._waiting = []
        return shown if self._visible else None

    def _unshown(self) -> Token | None:
        if not self._waiting:
            return None
        text = _text_of(self._waiting)
        logprobs = tuple(one for delta in self._waiting for one in delta.logprobs)
        return Token(text, logprobs) if text or logprobs else None


def _endless() -> UpstreamGarbage:
    return UpstreamGarbage(
        f"the model does not stop: its reply is over {MAX_REPLY} characters;"
        " set [llm] max_tokens, or ask for less"
    )


def _text_of(deltas: list[TextDelta]) -> str:
    return "".join(delta.text for delta in deltas)
