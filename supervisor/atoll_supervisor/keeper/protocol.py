"""What daemon and keeper say to each other (version 1).

A unix socket of type SOCK_SEQPACKET; one packet is one message: a JSON object
whose `op` is the message's name in lower case and whose other members are its
fields. Unknown members are ignored and missing ones have their defaults, so
that a newer daemon can speak to an older keeper and the other way round.

The daemon sends *commands*, which are not answered one by one. The keeper sends
*states*: what is true now of one socket, one process, the template. A state is
sent again whenever it has changed, never queued twice, and all of them are sent
to a daemon that has just connected, then `Synced`. So a daemon that was killed,
or that did not read for an hour, misses nothing but intermediate values, and
the keeper's memory is bounded by the number of units.

Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from typing import Literal, NamedTuple

VERSION = 1

Via = Literal["fork", "exec"]
How = Literal["term", "kill"]
Stage = Literal["launching", "starting", "serving", "gone"]
TemplateStage = Literal["none", "starting", "ready", "failed"]


# Commands.


class Hello(NamedTuple):
    """The daemon's first message; the keeper answers `Welcome`, every state, `Synced`.

    A connection becomes the daemon's by its first command, and the one before it
    is closed then.
    """

    version: int = VERSION
    pid: int = 0


class Listen(NamedTuple):
    """Hold a socket on `host`:`port` for `unit`; one held on that port already is kept."""

    unit: str
    host: str
    port: int


class Close(NamedTuple):
    """Close the unit's socket: from now on its port refuses connections."""

    unit: str


class Watch(NamedTuple):
    """Say once, by `Held.waiting`, when a client waits at the unit's socket.

    `waiting` is false from here until one does, and again from the next `Launch`
    with `listen`.
    """

    unit: str


class Launch(NamedTuple):
    """Start the process `generation` of `unit`.

    `via` "fork" is done by the template, or by exec when there is none that can.
    `argv[0]` is the interpreter; a fork runs `argv[1:]` as `python` would run
    them (`-m atoll --server ...`). `log` is the path of the unit's log file. With
    `listen` the unit's held socket is passed as descriptor 3. `limits` are
    `memory` (bytes), `pids` (processes), `cpu` (cores). `memo` is the daemon's
    own and comes back in `Process`.
    """

    unit: str
    generation: int
    via: Via
    argv: list[str]
    env: dict[str, str]
    cwd: str
    log: str
    listen: bool = True
    limits: dict[str, float] = {}  # noqa: RUF012  never changed
    memo: str = ""


class Signal(NamedTuple):
    """Ask the process to go (SIGTERM, SIGCONT), or end it and all it started (SIGKILL)."""

    unit: str
    generation: int
    how: How


class Forget(NamedTuple):
    """The daemon has taken note of this end; the keeper need not remember it."""

    unit: str
    generation: int


class Remember(NamedTuple):
    """Keep this of the unit for the daemon after this one; "" drops what was kept."""

    unit: str
    memo: str


class Preload(NamedTuple):
    """Start a template; it takes the place of the one there is as soon as it is ready.

    `serial` is the daemon's number for it, and `key` what its runtime is known by.
    """

    serial: int
    key: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    log: str


class Pass(NamedTuple):
    """Give the daemon a copy of the unit's socket; `Held` comes back with the descriptor."""

    unit: str


class Leave(NamedTuple):
    """End every unit and go."""


# States.


class Welcome(NamedTuple):
    """The first answer. `since` is when the keeper started."""

    version: int
    pid: int
    since: float


class Held(NamedTuple):
    """The socket of a unit: held, or not, with the errno that refused it."""

    unit: str
    host: str
    port: int
    held: bool
    errno: int = 0
    waiting: bool = False


class Remembered(NamedTuple):
    """What a daemon has had remembered of a unit; told once, to a daemon that has just come."""

    unit: str
    memo: str


class Process(NamedTuple):
    """One process of a unit, from the `Launch` until the daemon says `Forget`.

    `pid` is 0 until it is known. `via` is how it was really started. `port` is that of
    the socket it was given, 0 without one. `asked` is
    the strongest signal the daemon has sent, "term" or "kill". `channel` tells that it beats, so
    that silence means something; `silent` is how long it has not, in seconds, 0
    while it does. `active` is when it last had a request, 0 for never.
    Of a process that is gone: `code`, or the name of the `signal`; `reason` is
    what is known beyond them (its last words, "oom-killed"). One that could not be
    started has neither code nor signal nor pid, and the reason why. `limits` says for
    each limit asked for what enforces it ("cgroup v1", "rlimit", "not enforced").
    `status` is what keeps it from being ready, in its own words.
    """

    unit: str
    generation: int
    stage: Stage = "launching"
    pid: int = 0
    via: Via = "exec"
    port: int = 0
    since: float = 0.0
    asked: str = ""
    channel: bool = False
    draining: bool = False
    silent: float = 0.0
    in_flight: int = 0
    lag_ms: int = 0
    active: float = 0.0
    code: int | None = None
    signal: str | None = None
    reason: str = ""
    limits: dict[str, str] = {}  # noqa: RUF012  never changed
    instance: str = ""
    memo: str = ""
    status: str = ""


class Template(NamedTuple):
    """How the template fares that was asked for last; `reason` says why there is none.

    While it is starting, and when it failed, the one before it goes on forking.
    One that failed is started again, after growing pauses.
    """

    stage: TemplateStage
    serial: int = 0
    key: str = ""
    pid: int = 0
    reason: str = ""


class Synced(NamedTuple):
    """Every state has been sent."""


Command = (
    Hello | Listen | Close | Watch | Launch | Signal | Forget | Remember | Preload | Pass | Leave
)
State = Welcome | Held | Remembered | Process | Template | Synced
