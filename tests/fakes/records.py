"""Services as the daemon remembers them, with what a test says of each."""

from msgspec.structs import replace

from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.order import Order
from atoll_supervisor.core.services.recipe import HealthCheck
from atoll_supervisor.core.services.record import Record

ORDER = Order(
    command=("server",),
    values={},
    environment={},
    given={},
    resources=Resources(),
    health=HealthCheck(),
)


def service(name: str, /, order: Order = ORDER, **more: object) -> Record:
    """A local service of that id; `more` are other fields of it."""
    made = Record(
        id=name,
        uuid=f"u-{name}",
        name=f"s-{name}",
        recipe_name="s",
        engine="local",
        order=order,
        config={},
        created_at="2026-11-21T10:00:00.000+00:00",
        key="k",
    )
    return replace(made, **more)
