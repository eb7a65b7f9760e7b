"""New services, with the ids and keys that nobody can guess."""

import secrets
from datetime import UTC, datetime

from atoll.config.names import slug_of
from atoll_supervisor.core.services.order import Order, Wish
from atoll_supervisor.core.services.recipe import EngineName, Recipe
from atoll_supervisor.core.services.record import Record

GROUP = "sg-"


def new_group() -> str:
    """The id of a new group."""
    return f"{GROUP}{secrets.token_hex(4)}"


def new_uuid() -> str:
    """What a start of a service is known by."""
    return secrets.token_hex(16)


def made(
    wish: Wish, recipe: Recipe, order: Order, engine: EngineName, group: str | None, now: float
) -> Record:
    """A service that is not begun yet; `now` in seconds since the epoch."""
    number = secrets.token_hex(4)
    return Record(
        id=number,
        uuid=new_uuid(),
        name=f"{slug_of(recipe.name) or 'service'}-{number}",
        recipe_name=wish.recipe_name,
        engine=engine,
        order=order,
        config=wish.config or {},
        created_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        key=secrets.token_hex(24),
        group_id=group,
    )
