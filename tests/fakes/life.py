"""One unit for tests of the decision core: at each time an event, and what is done about it."""

from msgspec import Struct

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.machine import step
from atoll_supervisor.core.spec import Policy, Restart, UnitSpec


class Life(Struct):
    """One unit, replayed; remembers the effects of the last step."""

    unit: ph.Unit
    effects: tuple[do.Effect, ...] = ()

    def at(self, now: float, event: ev.Event) -> "Life":
        self.unit, self.effects = step(self.unit, event, now, 0.0)
        return self

    def up(self, now: float) -> "Life":
        """From waiting to running."""
        self.at(now, ev.Admitted())
        generation = self.unit.generation
        self.at(now, ev.Spawned(generation, 100 + generation))
        return self.at(now, ev.BecameReady(generation))

    @property
    def done(self) -> list[str]:
        """The names of the effects, journal and timers left out."""
        quiet = (do.Record, do.Arm, do.Disarm)
        return [type(e).__name__ for e in self.effects if not isinstance(e, quiet)]

    @property
    def causes(self) -> list[tuple[str, str, str]]:
        records = [e for e in self.effects if isinstance(e, do.Record)]
        return [(record.before, record.after, record.cause) for record in records]

    @property
    def armed(self) -> dict[str, float]:
        return {e.timer: e.at for e in self.effects if isinstance(e, do.Arm)}


def spec_of(
    restart: Restart = "on-failure",
    max_restarts: int = 5,
    *,
    checksum: str = "1",
    idle: float = 0.0,
    overlap: bool = True,
) -> UnitSpec:
    """What the manifest of the unit says."""
    policy = Policy(
        restart=restart,
        max_restarts=max_restarts,
        stop_timeout=30.0,
        idle_timeout=idle,
        overlap=overlap,
    )
    return UnitSpec(slug="a", name="A", checksum=checksum, policy=policy)


def life(
    restart: Restart = "on-failure",
    max_restarts: int = 5,
    *,
    idle: float = 0.0,
    overlap: bool = True,
) -> Life:
    """A unit whose manifest was found at time 0."""
    spec = spec_of(restart, max_restarts, idle=idle, overlap=overlap)
    return Life(ph.Unit(slug="a")).at(0.0, ev.SpecAccepted(spec))
