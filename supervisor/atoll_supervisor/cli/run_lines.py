"""What the commands print of a run."""

import msgspec

from atoll.wire.json import JsonObject
from atoll_supervisor.core.plain import plain_line, plain_text
from atoll_supervisor.core.runs.events import Told


def told_line(told: Told) -> str:
    """One event: when, what, which step, whose."""
    words = (f"step {told.step}" if told.step else "", told.agent, told.detail)
    about = plain_line("  ".join(word for word in words if word))
    return f"{plain_line(told.at)}  {told.type.ljust(15)}  {about}".rstrip()


def result_text(result: JsonObject) -> str:
    """A single text as it is, which is what an agent without a signature gives; else JSON."""
    match list(result.values()):
        case [str(alone)]:
            return plain_text(alone)
        case _:
            return plain_line(msgspec.json.encode(result).decode())
