"""Roles and plans for tests of runs."""

from atoll.config.signature import parse_signature
from atoll_supervisor.core.runs.records import Plan
from atoll_supervisor.core.runs.roles import Find, Role
from atoll_supervisor.core.spec import Routing


def role(
    slug: str,
    takes: str = "query: str",
    gives: str = "result: str",
    hand_off: str | None = None,
    choices: tuple[str, ...] = (),
    threshold: float = 0.5,
    merge: str = "match",
) -> Role:
    routing = Routing(choices, threshold, "add" if merge == "add" else "match")
    return Role(
        slug=slug,
        description=f"The {slug}",
        input=parse_signature(takes) if takes else None,
        output=parse_signature(gives) if gives else None,
        takes=takes,
        hand_off=hand_off,
        routing=routing,
    )


def finding(*roles: Role) -> Find:
    table = {one.slug: one for one in roles}
    return lambda name: table.get(name.lower())


def plan(agent: str = "a", kind: str = "agent", **more: object) -> Plan:
    inputs = more.pop("inputs", {"query": "hi"})
    return Plan(
        run_id="r1",
        kind="flock" if kind == "flock" else "agent",
        agent=agent,
        inputs=inputs,
        accepted=1_000.0,
        **more,
    )
