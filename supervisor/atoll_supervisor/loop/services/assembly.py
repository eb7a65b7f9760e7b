"""The services of one daemon put together."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from atoll.adapters.pulled import find_pulled
from atoll.config.places import Places
from atoll.config.suggest import shown
from atoll.errors import ClientError, ConfigError, Problem
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.loop.fleet_loop import FleetLoop
from atoll_supervisor.loop.services.around import Around
from atoll_supervisor.loop.services.local import LocalEngine
from atoll_supervisor.loop.services.service_loop import ServiceLoop
from atoll_supervisor.loop.services.slurm import SlurmEngine
from atoll_supervisor.ports import Cluster
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.services.here import this_machine
from atoll_supervisor.shell.services.recipes import Recipes
from atoll_supervisor.shell.services.store import ServiceStore
from atoll_supervisor.shell.slurm import Slurm
from atoll_supervisor.shell.slurm_rest import SlurmRest

_PACKAGE = Path(__file__).parents[2]
SHIPPED = (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes")
"""Our own recipes: in a wheel beside the code, in a clone at its top."""

Note = Callable[[str, str], object]


def make_services(
    settings: Settings,
    places: Places,
    environ: Mapping[str, str],
    disk: DatabaseThread,
    note: Note,
) -> ServiceLoop:
    """The services, not begun yet; a person's own recipes come before ours."""
    around = Around(
        recipes=Recipes((settings.recipes_dir, *SHIPPED)),
        store=ServiceStore(disk, partial(_told, note)),
        find=partial(find_model, places),
        epoch=time.time,
        note=note,
        usual_engine=usual_engine(environ),
    )
    return ServiceLoop(around)


def begin_services(
    services: ServiceLoop,
    fleet: FleetLoop,
    settings: Settings,
    places: Places,
    environ: Mapping[str, str],
    note: Note,
) -> None:
    """Take over what earlier daemons left; before the first look at the agents directory."""
    local = LocalEngine(fleet, places, environ, services.saw, this_machine)
    cluster = cluster_of(settings, environ)
    slurm = SlurmEngine(
        cluster, places, services.all, services.saw, services.placed, sys.executable, note
    )
    services.begin({"local": local, "slurm": slurm})


def cluster_of(settings: Settings, environ: Mapping[str, str]) -> Cluster:
    """SLURM by its slurmrestd where the settings name its socket, else by its commands."""
    commands = Slurm(environ)
    return SlurmRest(settings.slurm_rest, commands) if settings.slurm_rest else commands


def usual_engine(environ: Mapping[str, str]) -> EngineName:
    """The engine where neither request nor recipe names one; raises ConfigError."""
    match environ.get("ATOLL_ENGINE", "local"):
        case "local":
            return "local"
        case "slurm":
            return "slurm"
        case other:
            message = f"{shown(other)!r} is no engine"
            raise ConfigError(Problem(file="ATOLL_ENGINE", message=message, hint="local or slurm"))


def find_model(places: Places, name: str) -> str:
    """The GGUF file of a path or of a pulled model; raises ClientError that says how to get it."""
    pulled = find_pulled(places, name)
    if pulled is not None:
        return str(pulled)
    path = Path(name)
    if path.is_absolute() and os.access(path, os.R_OK) and path.is_file():
        return name
    told = "a GGUF file by its absolute path, or a model that `atoll pull` fetched"
    raise ClientError(f"config.model: {shown(name)!r} is not there; it must be {told}")


def _told(note: Note, text: str) -> None:
    note(text, "")
