"""What an agent and its children do in a turn, as lines for a person; pure."""

from typing import assert_never

import msgspec

from atoll.wire.events import (
    Below,
    Event,
    Failure,
    Planning,
    Reasoning,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
    Warning,
)
from atoll.wire.json import JsonObject
from atoll_supervisor.core.plain import plain_line

MOST = 160
"""Characters of what a tool was given or answered."""


def trace_of(event: Event) -> str:
    """The line of an event, "" for one that is no step; a child's begins with its name.

    [calls helper: find the disks]
      machine [calls disks]
      machine [disks: / 40 GiB free]
    [helper: there is room]
    """
    if isinstance(event, Below):
        line = _line(event.event)
        names = " → ".join(map(plain_line, event.path))
        return f"{'  ' * len(event.path)}{names} {line}" if line else ""
    return _line(event)


def _line(event: Event) -> str:
    match event:
        case ToolCall():
            given = _given(event.arguments)
            return f"[calls {plain_line(event.name)}{f': {given}' if given else ''}]"
        case ToolResult():
            failed = " failed" if event.failed else ""
            return f"[{plain_line(event.name)}{failed}: {_short(event.result)}]"
        case Planning():
            return f"[plans: {_short(event.updated_plan or event.plan)}]"
        case Warning():
            return f"[warning: {_short(event.message)}]"
        case Failure():
            return f"[failed: {_short(event.message)}]"
        case RunStart() | StepStart() | Token() | Reasoning() | RunEnd() | Below():
            return ""
        case _:
            assert_never(event)


def _given(arguments: JsonObject) -> str:
    """The arguments of a call; of a delegation the task alone."""
    task = arguments.get("task")
    if isinstance(task, str) and len(arguments) == 1:
        return _short(task)
    return _short(msgspec.json.encode(arguments).decode()) if arguments else ""


def _short(text: str) -> str:
    line = plain_line(" ".join(text.split()))
    return line if len(line) <= MOST else f"{line[: MOST - 1]}…"
