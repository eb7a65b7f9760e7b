"""Who comes next in a workflow, and with what (Flock's `hand_off`, seeds-contract.md 3.3)."""

from msgspec import Struct

from atoll.config.names import NOBODY
from atoll.wire.json import JsonObject
from atoll_supervisor.core.runs.records import Plan, Step
from atoll_supervisor.core.runs.roles import Find, Role


class Wrong(Struct, frozen=True):
    """Why a workflow cannot go on; `reason` is for programs."""

    error: str
    reason: str


def unknown(name: str) -> Wrong:
    """There is no such agent, in Flock's own words."""
    return Wrong(f"Agent '{name}' not found", "agent_not_found")


def fault_ahead(first: Role, find: Find) -> Wrong | None:
    """What is sure to go wrong: a fixed hand-off to nobody, or fixed hand-offs in a circle.

    A circle in which some agent chooses may end by itself; the loop limit watches it.
    """
    path, role = [first.slug], first
    while role.hand_off:
        following = find(role.hand_off)
        if following is None:
            missing = unknown(role.hand_off)
            return Wrong(f"{missing.error}: {role.slug} hands off to it", missing.reason)
        path.append(following.slug)
        if following.slug in path[:-1]:
            return Wrong(f"the workflow cycles without an end: {' -> '.join(path)}", "cycle")
        role = following
    return None


def inputs_for(role: Role, by: Role, plan: Plan, steps: tuple[Step, ...]) -> JsonObject:
    """What the next agent is given.

    `match`: the fields of the last result that it takes. `add`: the same of all that is
    known, the run's inputs and every result, the newest of each name.
    """
    if by.routing.merge == "match":
        known = steps[-1].result
    else:
        known = dict(plan.inputs)
        for step in steps:
            known.update(step.result)
    if role.input is None:
        return dict(known)
    return {name: known[name] for name in role.input.names if name in known}


def chosen(by: Role, answer: JsonObject) -> str:
    """The agent that was chosen, "" for none: nobody, or one that was not sure enough of."""
    agent, confidence = answer["agent"], answer["confidence"]
    sure = isinstance(confidence, int | float) and confidence >= by.routing.threshold
    return agent if isinstance(agent, str) and agent != NOBODY and sure else ""
