"""What services need of the machine, and what they refuse for want of it."""

from collections.abc import Callable

from msgspec import Struct

from atoll.errors import AtollError
from atoll_supervisor.core.services.order import FindModel
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.shell.services.recipes import Recipes
from atoll_supervisor.shell.services.store import ServiceStore

STILL_ENDS = "its process is still on its way out"


class StillEnds(AtollError):
    """What should be started again has not ended yet, for all that it was told to."""

    code = "still_ends"
    status = 503


class Around(Struct, frozen=True):
    """What services need of the machine. `epoch` is the wall clock in seconds."""

    recipes: Recipes
    store: ServiceStore
    find: FindModel
    epoch: Callable[[], float]
    note: Callable[[str, str], object]
    usual_engine: EngineName = "local"
