"""Times and counts of one model call where the server tells none."""

from collections.abc import Sequence

from atoll.core.history import CHARS_PER_TOKEN
from atoll.ports import Clock
from atoll.wire.messages import Message, Usage


class Stopwatch:
    """Started when the call begins; told of every piece of the answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic_ns()
        self._first = 0
        self._pieces = 0

    def piece(self) -> None:
        """A piece of the answer arrived."""
        self._pieces += 1
        self._first = self._first or self._clock.monotonic_ns()

    def complete(self, told: Usage, asked: int) -> Usage:
        """What the server told, with our own measure where it told 0; nothing is 0 after it.

        `asked` is the length of the prompt in characters.
        """
        now = self._clock.monotonic_ns()
        first = self._first or now
        prompt_ns = told.prompt_ns or max(1, first - self._began)
        return Usage(
            prompt_tokens=told.prompt_tokens or 1 + asked // CHARS_PER_TOKEN,
            completion_tokens=told.completion_tokens or max(1, self._pieces),
            # What passed before the first piece and was no reading of the prompt was queueing.
            load_ns=told.load_ns or max(1, first - self._began - prompt_ns),
            prompt_ns=prompt_ns,
            completion_ns=told.completion_ns or max(1, now - first),
        )


def length_of(messages: Sequence[Message], raw_prompt: str | None) -> int:
    """Characters of a prompt."""
    return len(raw_prompt) if raw_prompt is not None else sum(len(m.content) for m in messages)


def tokens_in(texts: Sequence[str]) -> int:
    """What so many texts cost by the rule of thumb; at least 1."""
    return 1 + sum(map(len, texts)) // CHARS_PER_TOKEN
