"""A model that calls the same tool with the same arguments again and again. Pure.

The rule, which is that a turn must learn something:

- A call is the same as another when tool and arguments are equal, in whatever order
  the arguments stand. It is run whenever the model asks: only so can a job be polled,
  or tests be run again after a change.
- A result that the same call has given before in this turn is nothing new. The model
  gets it with a sentence before it that says so.
- A step is idle when nothing it ran gave anything new. After three idle steps in a row
  (so with the fourth equal call and result) the last answer is forced.

A poll whose result changes is thus never idle, one that waits for a change may look
four times, and between them any other call that tells something new starts the count
again; A, B, A, B without news is caught as A, A is. Beyond that `[loop] max_steps` and
`[budget] calls_per_turn` are the bounds. Coding agents use the same measure: three to
five equal calls with equal results are a loop.
"""

import json
from collections.abc import Iterable, Sequence

from msgspec import Struct

from atoll.wire.messages import Call

IDLE_STEPS = 3
"""Steps in a row without anything new, after which the last answer is forced."""

Key = tuple[str, str]
"""What makes two calls the same."""


class Progress(Struct, frozen=True):
    """What a turn has learned from its tools so far."""

    known: frozenset[tuple[Key, str]] = frozenset()
    idle: int = 0

    @property
    def is_stuck(self) -> bool:
        """Whether the model has to be stopped."""
        return self.idle >= IDLE_STEPS

    def after(self, calls: Sequence[Call], results: Sequence[str]) -> "Progress":
        """With the results of one more step."""
        learned = frozenset(zip(map(key_of, calls), results, strict=True))
        idle = self.idle + 1 if learned <= self.known else 0
        return Progress(self.known | learned, idle)


def key_of(call: Call) -> Key:
    """The tool and its arguments in one order; `1`, `1.0` and `true` are different."""
    return call.name, json.dumps(call.arguments, sort_keys=True)


def distinct(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls of one reply, each of the same ones once, in their order."""
    found: dict[Key, Call] = {}
    for call in calls:
        found.setdefault(key_of(call), call)
    return tuple(found.values())


def noted(progress: Progress, call: Call, result: str) -> str:
    """A result as the model is told it."""
    if (key_of(call), result) not in progress.known:
        return result
    return (
        f"You called {call.name} before with the same arguments, and the result was the same. "
        "Call it so again only if you wait for it to change; else do something else, or answer. "
        f"The result was:\n{result}"
    )
