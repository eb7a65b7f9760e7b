"""Write docs/phases.md: the diagram and the table of the decision core, asked from the core itself.

    python scripts/diagram.py            write the page
    python scripts/diagram.py --check    exit 1 when the page is not what the core says

Every phase is given every event; what `machine.step` answers is what is drawn.
"""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from msgspec.structs import replace

from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.machine import step
from atoll_supervisor.core.restarts import History
from atoll_supervisor.core.spec import Policy, UnitSpec

PAGE = Path(__file__).parent.parent / "docs" / "phases.md"
NOW = 1000.0
GENERATION = 3
SPEC = UnitSpec(slug="a", name="A", checksum="1", policy=Policy(max_restarts=2))
FRESH = History()
CRASHED = History(ends=(990.0,), attempt=1)
SPENT = History(ends=(995.0, 990.0), attempt=2)


OLD = ph.Running(2, 7, NOW - 9, used=NOW - 9, checksum="1")
NEW = ph.Starting(3, NOW - 1, NOW + 9, checksum="1")
GOES = ph.Leaving(3, 7, NOW + 9, reason="asked")


def _unit(phase: ph.Phase, history: History = CRASHED) -> ph.Unit:
    leaving = (GOES,) if isinstance(phase, ph.Stopping) else ()
    return ph.Unit(
        slug="a", phase=phase, leaving=leaving, spec=SPEC, generation=GENERATION, history=history
    )


def _running(history: History = CRASHED, **more: float | str) -> ph.Unit:
    running = replace(OLD, generation=GENERATION, **more)
    return _unit(running, history)


def _sleeper(unit: ph.Unit) -> ph.Unit:
    return replace(unit, spec=replace(SPEC, policy=replace(SPEC.policy, idle_timeout=5.0)))


def _alone(unit: ph.Unit) -> ph.Unit:
    return replace(unit, spec=replace(SPEC, policy=replace(SPEC.policy, overlap=False)))


def _stopping(then: ph.Then) -> ph.Unit:
    return _unit(ph.Stopping(NOW - 1, then, "asked"))


UNITS: dict[str, ph.Unit] = {
    "invalid": ph.Unit(slug="a", phase=ph.Invalid("agent.toml:1:1: wrong", "a/agent.toml")),
    "stopped": _unit(ph.Stopped("finished")),
    "stopped, not wanted": replace(_unit(ph.Stopped("asked")), wanted=False),
    "asleep": _sleeper(_unit(ph.Asleep(NOW - 1, "no client yet"))),
    "waiting": _unit(ph.Waiting(NOW - 1, "asked")),
    "starting, no process yet": _unit(NEW),
    "starting": _unit(replace(NEW, pid=7)),
    "running": _running(),
    "running, first end": _running(FRESH),
    "running, budget spent": _running(SPENT),
    "running, two probes missed": _running(misses=2),
    "running, to be replaced": _running(renew="asked"),
    "running, idle": _sleeper(_running()),
    "running alone": _alone(_running()),
    "replacing, no process yet": _unit(ph.Replacing(replace(OLD, renew="asked"), NEW)),
    "replacing": _unit(ph.Replacing(replace(OLD, renew="asked"), replace(NEW, pid=8))),
    "replacing, of the old": _unit(ph.Replacing(replace(OLD, renew="asked"), replace(NEW, pid=8))),
    "running, of one that leaves": replace(
        _running(), leaving=(replace(GOES, generation=2, pid=6, deadline=NOW),)
    ),
    "stopping to rest": _stopping("rest"),
    "stopping to start": _stopping("start"),
    "stopping to recover": _stopping("recover"),
    "stopping to sleep": _sleeper(_stopping("sleep")),
    "stopping to be forgotten": _stopping("forget"),
    "stopping, no process yet": replace(
        _stopping("rest"), leaving=(replace(GOES, pid=None, deadline=NOW),)
    ),
    "backoff": _unit(ph.Backoff(NOW + 1, "exit code 1")),
    "failed": _unit(ph.Failed("exit code 1", NOW + 1), replace(SPENT, retries=1)),
    "failed for good": _unit(ph.Failed("exit code 1", None)),
}
"""A unit in each phase, once for each difference that an answer depends on.

Events are of the process of generation 3, which in `replacing` is the new one; only where the name
says "of", of generation 2.
"""


def asked_of(column: str) -> int:
    """The generation whose events that column answers."""
    return GENERATION - 1 if ", of " in column else GENERATION


def events_of(unit: ph.Unit, generation: int) -> dict[str, ev.Event]:
    """Every event, for that process of the unit."""
    spec = unit.spec or SPEC
    return {
        "StartAsked": ev.StartAsked(),
        "StopAsked": ev.StopAsked(),
        "RestartAsked": ev.RestartAsked(),
        "RestartAsked (anew)": ev.RestartAsked(anew=True),
        "ClientWaits": ev.ClientWaits(),
        "ShutDownBegun": ev.ShutDownBegun(),
        "SpecAccepted (changed)": ev.SpecAccepted(replace(spec, checksum="2")),
        "SpecAccepted (same)": ev.SpecAccepted(spec),
        "SpecBroken": ev.SpecBroken("agent.toml:3:1: unknown key", "a/agent.toml"),
        "Removed": ev.Removed(),
        "Admitted": ev.Admitted(),
        "Spawned": ev.Spawned(generation, 7),
        "SpawnFailed": ev.SpawnFailed(generation, "no such file"),
        "BecameReady": ev.BecameReady(generation),
        "Exited (0)": ev.Exited(generation, code=0),
        "Exited (1)": ev.Exited(generation, code=1),
        "ProbePassed": ev.ProbePassed(generation),
        "ProbeFailed": ev.ProbeFailed(generation, "timed out"),
        "ProbeTimeElapsed": ev.ProbeTimeElapsed(generation),
        "WentSilent": ev.WentSilent(generation, 3.0),
        "WasUsed": ev.WasUsed(generation, NOW, busy=True),
        "IdleTimeElapsed": ev.IdleTimeElapsed(generation),
        "StabilityElapsed": ev.StabilityElapsed(generation),
        "StartTimeElapsed": ev.StartTimeElapsed(generation),
        "SlotTimeElapsed": ev.SlotTimeElapsed(generation),
        "LeaveTimeElapsed": ev.LeaveTimeElapsed(),
        "BackoffElapsed": ev.BackoffElapsed(generation),
    }


def answer(unit: ph.Unit, event: ev.Event) -> str:
    """The next phase; "=" when only something else changes or is done, "." when nothing is."""
    after, effects = step(unit, event, NOW, 0.0)
    if type(after.phase) is not type(unit.phase):
        return name_of(after.phase)
    if isinstance(after.phase, ph.Stopping) and after.phase != unit.phase:
        return after.phase.then if after.phase.then != _then(unit.phase) else "="
    return "=" if after != unit or effects else "."


def _then(phase: ph.Phase) -> str:
    return phase.then if isinstance(phase, ph.Stopping) else ""


def name_of(phase: ph.Phase) -> str:
    """The phase's own name; some have another word in the API (`phases.word_of`)."""
    return type(phase).__name__.lower()


def edges() -> Iterator[tuple[str, str, str]]:
    """Every change of phase: from, to, by which event."""
    yield "[*]", "waiting", "SpecAccepted"
    yield "[*]", "invalid", "SpecBroken"
    for (column, unit), history in product(UNITS.items(), (FRESH, CRASHED, SPENT)):
        for label, event in events_of(unit, asked_of(column)).items():
            after, _ = step(replace(unit, history=history), event, NOW, 0.0)
            if type(after.phase) is not type(unit.phase):
                yield name_of(unit.phase), name_of(after.phase), label.split(" ")[0]


def diagram() -> str:
    """The changes of phase as a Mermaid state diagram; one arrow for each pair of phases."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, after, label in edges():
        labels = arrows.setdefault((before, after), [])
        if label not in labels:
            labels.append(label)
    lines = [f"    {a} --> {b}: {', '.join(labels)}" for (a, b), labels in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def table() -> str:
    """Every answer, one line for each event."""
    rows = [f"| event | {' | '.join(UNITS)} |", "|---" * (len(UNITS) + 1) + "|"]
    for label in events_of(UNITS["running"], 0):
        cells = [
            answer(unit, events_of(unit, asked_of(column))[label]) for column, unit in UNITS.items()
        ]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(rows)


def page() -> str:
    """The whole page."""
    return f"""# Phases of a unit

Generated by `scripts/diagram.py` from `atoll_supervisor.core`; do not edit.

{diagram()}

The API shows `waiting` (for a turn to start) as `starting`, `replacing` as `running`, and
`stopping` as `draining` until a process has to be killed. Events of a process that the unit has no
more are ignored in every phase.

## Every answer

A phase name is the next phase; `rest`, `start`, `recover`, `sleep` and `forget` are what now
follows the stop; `=` means that something is done or noted and the phase stays; `.` that the event
is ignored.

{table()}
"""


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
