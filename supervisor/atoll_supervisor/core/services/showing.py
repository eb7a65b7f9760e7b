"""Recipes and requests as anybody may see them: lists of them need no token."""

import re
from typing import TypeVar

from msgspec.structs import replace

from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.container import name_shown
from atoll_supervisor.core.services.order import PLACE
from atoll_supervisor.core.services.recipe import Recipe

_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)

T = TypeVar("T")


def config_shown(config: JsonObject) -> JsonObject:
    """The request's config as lists show it, which need no token: without secrets."""
    return {
        name: config_shown(value) if isinstance(value, dict) else _masked(name, value)
        for name, value in config.items()
    }


def recipe_shown(recipe: Recipe) -> Recipe:
    """The recipe without the secrets that its author wrote into it, and this machine's folders."""
    shown_as = {
        name: "***" if _SECRET.search(name) and not PLACE.search(value) else value
        for name, value in recipe.environment.items()
    }
    parameters = {
        name: replace(one, default=_masked(name, one.default)) if one.default else one
        for name, one in recipe.parameters.items()
    }
    return replace(
        recipe,
        environment=shown_as,
        parameters=parameters,
        image=name_shown(recipe.image),
        container_def=name_shown(recipe.container_def),
    )


def _masked(name: str, value: T) -> T | str:
    return "***" if _SECRET.search(name) else value
