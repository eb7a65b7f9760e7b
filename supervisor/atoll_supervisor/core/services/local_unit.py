"""A service of this machine as its unit shows it."""

from typing import assert_never

from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Invalid,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
)
from atoll_supervisor.core.services.evidence import (
    Building,
    Ended,
    Evidence,
    Kept,
    Queued,
    Up,
)
from atoll_supervisor.core.services.machine import SILENT

HOST = "127.0.0.1"


def evidence_of(unit: Unit, port: int | None, *, builds: bool = False) -> Evidence:
    """What the unit's phase says of the service; `builds` when its folder says it is at its image.

    Its process has been launched for that, and its server does not answer yet.
    """
    if builds and isinstance(unit.phase, Starting):
        return Building()
    match unit.phase:
        case Waiting(reason=reason) if unit.ended is None:
            return Queued(reason)
        case Waiting(reason=reason) | Backoff(reason=reason) | Asleep(reason=reason):
            return _up(unit, port, answers=False, reason=reason)
        case Stopping(then="start" | "recover" | "sleep", reason=reason):
            return _up(unit, port, answers=False, reason=reason)
        case Starting():
            reason = unit.ended.reason if unit.ended else ""
            return _up(unit, port, answers=False, reason=reason)
        case Running(misses=misses):
            return _up(unit, port, answers=not misses, reason=SILENT if misses else "")
        case Replacing():
            return _up(unit, port, answers=True)
        case Stopping():
            return Kept()
        case Stopped(reason=reason):
            finished = unit.ended is not None and unit.ended.code == 0
            return Ended("completed" if finished else "cancelled", reason)
        case Failed(reason=reason):
            return Ended("failed", reason)
        case Invalid(problem=problem):
            return Ended("failed", problem)
        case _:
            assert_never(unit.phase)


def _up(unit: Unit, port: int | None, *, answers: bool, reason: str = "") -> Up:
    return Up(answers=answers, reason=reason, host=HOST, port=port, restarts=unit.restarts)
