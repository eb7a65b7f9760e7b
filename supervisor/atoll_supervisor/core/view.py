"""A unit as the management API shows it: phases told in the source system's words."""

from datetime import UTC, datetime
from typing import assert_never

from msgspec import Struct

from atoll.config.loopback import authority
from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Ended,
    Failed,
    Invalid,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
    generation_of,
    pid_of,
    reason_of,
    serving,
    word_of,
)
from atoll_supervisor.core.row import LastExit, Row, Status
from atoll_supervisor.core.spec import Card


class Seen(Struct, frozen=True, kw_only=True):
    """What was observed of a unit's running process; None and "" mean not known.

    `waits` is what keeps a process that starts from being ready, in its own words.
    `model` and `backend` are what the agent really chose. `rss_bytes` is of
    the main process. `limits` tells what enforces each limit asked for.
    """

    waits: str = ""
    model: str = ""
    backend: str = ""
    instance_id: str | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    in_flight: int | None = None
    limits: dict[str, str] = {}


class Clock(Struct, frozen=True):
    """One moment on both clocks: monotonic seconds, and seconds since the epoch.

    Read together and once per list, so that a wall clock that was set meanwhile
    shifts what is shown and never what is decided (`faults.md` row 17).
    """

    monotonic: float
    epoch: float

    def rfc3339(self, at: float) -> str:
        """The monotonic time `at` as RFC 3339 in UTC."""
        moment = datetime.fromtimestamp(self.epoch - (self.monotonic - at), UTC)
        return moment.isoformat(timespec="milliseconds")


def status_of(unit: Unit) -> Status:
    """The public status word.

    A unit that will start by itself counts as starting, and one that sleeps as
    running: it answers at its port.
    """
    match unit.phase:
        case Waiting() if unit.ended is None:
            return "discovered"
        case Waiting() | Starting() | Backoff():
            return "starting"
        case Running() | Replacing() | Asleep() | Stopping(then="sleep"):
            return "running"
        case Stopping(then="start" | "recover"):
            return "starting"
        case Stopped() | Stopping():
            return "stopped"
        case Invalid() | Failed():
            return "failed"
        case _:
            assert_never(unit.phase)


def row_of(unit: Unit, seen: Seen, clock: Clock, host: str, port: int | None) -> Row:
    """The unit's row; without a process nothing of `seen` but its model is shown."""
    seen = seen if pid_of(unit) else Seen(model=seen.model, backend=seen.backend)
    spec, card = unit.spec, unit.spec.card if unit.spec else Card()
    running = serving(unit)
    since = running.since if running else None
    return Row(
        name=spec.name if spec else unit.slug,
        slug=unit.slug,
        status=status_of(unit),
        phase=word_of(unit),
        reason=_reason(unit, seen),
        port=port,
        pid=pid_of(unit),
        url=f"http://{authority(host, port)}" if port else None,
        model=seen.model or card.model,
        backend=seen.backend or card.backend,
        version=card.version,
        description=card.description,
        capabilities=card.capabilities,
        restarts=unit.restarts,
        started_at=None if since is None else clock.rfc3339(since),
        uptime_s=None if since is None else round(clock.monotonic - since, 3),
        last_exit=_last_exit(unit.ended, clock),
        config_error=unit.config_error,
        cpu_percent=seen.cpu_percent,
        rss_bytes=seen.rss_bytes,
        in_flight=seen.in_flight,
        config_path=_config_path(unit),
        checksum=spec.checksum if spec else "",
        generation=generation_of(unit),
        instance_id=seen.instance_id,
        limits=seen.limits,
        input_schema=card.input_schema,
        output_schema=card.output_schema,
        hand_off=card.hand_off,
        routing=card.routing,
    )


def _reason(unit: Unit, seen: Seen) -> str:
    """Why it is where it is; of one that starts, also as a successor, what it waits for."""
    match unit.phase:
        case Starting() | Replacing():
            return ": ".join(filter(None, (reason_of(unit.phase), seen.waits)))
        case _:
            return reason_of(unit.phase)


def _last_exit(ended: Ended | None, clock: Clock) -> LastExit | None:
    if ended is None:
        return None
    return LastExit(ended.code, ended.signal, ended.reason, clock.rfc3339(ended.at))


def _config_path(unit: Unit) -> str:
    if isinstance(unit.phase, Invalid):
        return unit.phase.config_path
    return unit.spec.config_path if unit.spec else ""
