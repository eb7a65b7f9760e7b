"""Which agents may be asked, and what is said of those that may not. Pure."""

from atoll.errors import AtollError
from atoll_supervisor.core.row import Row


class NotServing(AtollError):
    """The agent that was asked for does not run, or not yet; says what mends it."""

    code = "agent_not_running"
    status = 503
    who = "agent"


class WentAway(AtollError):
    """The agent ended in the middle of its answer, or answered what is no HTTP."""

    code = "agent_went_away"
    status = 502
    who = "agent"


def can_answer(row: Row) -> bool:
    """Whether a request to this agent is answered, now or when it is up again."""
    return row.status in ("discovered", "starting", "running")


def is_awake(row: Row) -> bool:
    """Whether it can be asked without waking it or waiting for it."""
    return row.phase == "running"


def is_at_rest(row: Row) -> bool:
    """Whether it has no process and will have none by itself within a client's patience."""
    return row.phase in ("stopped", "failed", "invalid")


def answerable(row: Row) -> Row:
    """The row itself, if the agent can answer; raises NotServing, which says why it cannot."""
    if not can_answer(row):
        raise refusal(row)
    return row


def refusal(row: Row) -> NotServing:
    """Why an agent for which `can_answer` is false is not asked."""
    slug, reason = row.slug, _first_line(row.reason)
    match row.phase:
        case "invalid":
            return NotServing(
                f"the manifest of agent '{slug}' is wrong: {reason};"
                " it starts as soon as that is mended, `atoll ps` shows the place"
            )
        case "failed":
            return NotServing(
                f"agent '{slug}' has failed: {reason}; `atoll logs {slug}` shows why,"
                f" `atoll restart {slug}` starts it again"
            )
        case _:
            return NotServing(f"agent '{slug}' is stopped; `atoll start {slug}` starts it")


def late(row: Row, seconds: float) -> NotServing:
    """Why an agent was not waited for any longer."""
    reason = _first_line(row.reason)
    because = f" ({reason})" if reason else ""
    return NotServing(
        f"agent '{row.slug}' did not take the request within {seconds:g} s: it is"
        f" {row.phase}{because}; `atoll events {row.slug}` tells what happened"
    )


def broke_off(slug: str, words: str) -> WentAway:
    """What is said when an agent's answer ended before it was complete."""
    return WentAway(
        f"agent '{slug}' went away before its answer was complete ({words});"
        f" `atoll events {slug}` tells why"
    )


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
