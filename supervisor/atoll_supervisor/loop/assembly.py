"""The fleet and the runs of one daemon, made from its settings; services have their own."""

import random
import time

from atoll.config.loopback import is_loopback, url_of
from atoll.config.places import Places
from atoll_supervisor.loop.fleet_loop import FleetLoop, Machine
from atoll_supervisor.loop.runs import Retention, Runs
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.event_log import EventLog
from atoll_supervisor.shell.journal import Journal
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.token import ensure_token
from atoll_supervisor.shell.webhook import Messenger


def make_fleet(settings: Settings, places: Places, events: EventLog) -> FleetLoop:
    """The fleet, on this machine's clocks."""
    machine = Machine(time.monotonic, time.time, random.random, events.record, events.note)
    ports = settings.api_port, settings.base_port
    journal = Journal(places.state / "fleet.toml")
    return FleetLoop(machine, settings.host, *ports, places.logs, journal)


def make_runs(settings: Settings, disk: DatabaseThread, fleet: FleetLoop, token: str) -> Runs:
    """The runs; `token` is what agents ask their clients for."""
    kept = Retention(settings.keep_runs_days, settings.keep_runs)
    messenger = Messenger(serves_others=not is_loopback(settings.host))
    return Runs(RunStore(disk), fleet, token, kept, messenger)


def for_agents(settings: Settings, places: Places) -> dict[str, str]:
    """What its agents need to call each other, and jobs to be submitted.

    The key seals calls and manages nothing.
    """
    url, key = url_of(settings.host, settings.api_port), ensure_token(places.delegation_key)
    rest = {"ATOLL_SLURM_REST": str(settings.slurm_rest)} if settings.slurm_rest else {}
    return {"ATOLL_DAEMON_URL": url, "ATOLL_DELEGATION_KEY": key, **rest}
