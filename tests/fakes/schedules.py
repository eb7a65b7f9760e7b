"""What can go wrong in the simulated world, how often, and for which fleets."""

from msgspec import Struct

from atoll_supervisor.core.spec import Restart

MOST_RESTARTS = 50
"""The largest budget that a manifest of this world has."""
RESTARTS: tuple[Restart, ...] = ("always", "on-failure", "never")


class Luck(Struct, frozen=True, kw_only=True):
    """How things go.

    The first are chances of each launch, the next of each step, the last
    rates per second: who and what comes by.
    """

    spawn_fails: float = 0.0
    crashes_at_start: float = 0.0
    never_ready: float = 0.0
    crashes_later: float = 0.0
    finishes: float = 0.0
    hangs: float = 0.0
    mute: float = 0.0
    """It has no heartbeat channel: only probes can find out that it hangs."""
    deaf: float = 0.0
    wedged: float = 0.0
    """It outlives one SIGKILL (a blocked disk)."""

    echoes: float = 0.0
    """Chance that an event of a process, or of a timer, comes a second time, later."""
    daemon_dies: float = 0.0
    """Chance that a step is the daemon's last: only some of its orders are performed."""

    operators: float = 0.0
    editors: float = 0.0
    bad_edits: float = 0.0
    """Chance that an edit reads well and does not start."""
    killers: float = 0.0
    strays: float = 0.0
    """Late events of processes that are no more."""
    clients: float = 0.0
    keeper_dies: float = 0.0
    disk_fills: float = 0.0
    stampedes: float = 0.0
    """Everybody asks for a restart of everything, several times."""


class Schedule(Struct, frozen=True, kw_only=True):
    """A fleet, and what happens to it.

    The first slug is that of a model host: no two processes of it side by side,
    and the others depend on it. `sleepers` is the share of units with an idle time.
    """

    luck: Luck
    slugs: str = "habcde"
    limit: int = 2
    sleepers: float = 0.0
    restarts: tuple[float, float, float] = (4, 4, 1)
    seconds: float = 600.0


GOOD = Luck()
"""The faults have stopped."""

_LAUNCHES = Luck(
    spawn_fails=0.1,
    crashes_at_start=0.1,
    never_ready=0.1,
    crashes_later=0.2,
    finishes=0.1,
    hangs=0.1,
    mute=0.3,
    deaf=0.2,
    wedged=0.1,
)

SCHEDULES: dict[str, Schedule] = {
    "calm": Schedule(luck=Luck(crashes_later=0.02, clients=0.01), seconds=6000.0),
    "mixed": Schedule(
        luck=Luck(
            **{name: getattr(_LAUNCHES, name) for name in _LAUNCHES.__struct_fields__[:9]},
            echoes=0.2,
            daemon_dies=0.002,
            operators=0.1,
            editors=0.05,
            bad_edits=0.2,
            killers=0.1,
            strays=0.3,
            clients=0.3,
            keeper_dies=0.002,
            disk_fills=0.01,
        ),
        sleepers=0.3,
    ),
    "crash loops": Schedule(
        luck=Luck(
            spawn_fails=0.3,
            crashes_at_start=0.9,
            finishes=0.3,
            echoes=0.3,
            operators=0.01,
            editors=0.005,
            bad_edits=0.5,
            strays=0.05,
        ),
        slugs="hab",
        seconds=3000.0,
    ),
    "storm": Schedule(
        luck=Luck(never_ready=0.3, hangs=0.3, deaf=0.5, echoes=0.5, operators=5.0, strays=1.0),
        slugs="hab",
        seconds=300.0,
    ),
    "restart storm": Schedule(
        luck=Luck(deaf=0.3, wedged=0.2, crashes_at_start=0.1, stampedes=0.2, killers=0.2),
        slugs="habcdefg",
        limit=3,
        restarts=(1, 1, 0),
        seconds=300.0,
    ),
    "daemon deaths": Schedule(
        luck=Luck(
            crashes_later=0.2,
            never_ready=0.1,
            deaf=0.3,
            hangs=0.1,
            daemon_dies=0.05,
            operators=0.3,
            editors=0.2,
            bad_edits=0.2,
            killers=0.2,
            clients=0.2,
            disk_fills=0.02,
        ),
        sleepers=0.3,
    ),
    "keeper deaths": Schedule(
        luck=Luck(
            crashes_later=0.1,
            hangs=0.1,
            keeper_dies=0.05,
            daemon_dies=0.01,
            operators=0.2,
            editors=0.1,
            clients=0.2,
        ),
        sleepers=0.5,
    ),
    "sleepers": Schedule(
        luck=Luck(
            crashes_at_start=0.1,
            crashes_later=0.1,
            hangs=0.05,
            deaf=0.2,
            echoes=0.3,
            clients=0.5,
            operators=0.02,
            editors=0.05,
            strays=0.2,
        ),
        sleepers=1.0,
        seconds=1500.0,
    ),
    "edits": Schedule(
        luck=Luck(
            never_ready=0.1,
            crashes_later=0.1,
            deaf=0.2,
            echoes=0.2,
            editors=1.0,
            bad_edits=0.3,
            daemon_dies=0.002,
            strays=0.3,
        ),
        sleepers=0.2,
    ),
    "crowded": Schedule(
        luck=Luck(
            spawn_fails=0.5,
            never_ready=0.5,
            deaf=0.2,
            echoes=0.8,
            operators=0.5,
            editors=0.2,
            strays=0.5,
        ),
        slugs="habcdefg",
        limit=1,
    ),
}
"""Each by its name; one seed and one name give one history."""
