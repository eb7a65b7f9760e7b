"""What a person should know of how a turn ended. Pure."""

from typing import assert_never

from atoll.core.loop import Finish


def doubt(end: Finish, steps: int) -> str:
    """A sentence for a turn of so many steps that did not end as it should; "" when it did."""
    match end.ended_by:
        case "steps":
            return f"the turn used up its {steps} steps"
        case "repeats":
            return "the model made the same calls again and again, and was stopped"
        case None:
            return "" if end.answer.strip() else _empty(end)
        case _:
            assert_never(end.ended_by)


def _empty(end: Finish) -> str:
    if end.reason == "length":
        return "the answer is empty: the model reached its limit of tokens before it said anything"
    return "the answer is empty: the model said nothing"
