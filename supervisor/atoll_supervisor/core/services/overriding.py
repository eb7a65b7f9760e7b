"""What of a recipe itself a request changes, where the recipe has it among its parameters.

The source system's recipes list `gpu_per_replica` and `base_port` (at the root)
and `gpu`, `nodes` or `time_limit` (in the resources) beside their variables
(seeds-contract.md 5.2): such a parameter stands for the recipe's own key.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from atoll.errors import ClientError
from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.recipe import Amounts, Parameter, PortNumber, Recipe


class OfReplicas(Struct, frozen=True):
    """The keys that a request may give at its root."""

    gpu_per_replica: Annotated[int, Meta(ge=1)] | None = None
    base_port: PortNumber | None = None


def is_setting(name: str, parameter: Parameter) -> bool:
    """Whether a parameter stands for a key of the recipe, and so is no variable."""
    if parameter.location == "resources":
        return name in Amounts.__struct_fields__
    return parameter.location == "root" and name in OfReplicas.__struct_fields__


def with_root(recipe: Recipe, root: JsonObject) -> Recipe:
    """The recipe with its port and its GPUs for each replica as the request has them."""
    names = [name for name in OfReplicas.__struct_fields__ if root.get(name) is not None]
    try:
        asked = msgspec.convert({name: root[name] for name in names}, OfReplicas, strict=False)
    except msgspec.ValidationError as error:
        told = str(error).partition(" - at `$.")
        raise ClientError(f"config.{told[2].rstrip('`')}: {told[0]}") from None
    return replace(
        recipe,
        gpu_per_replica=asked.gpu_per_replica or recipe.gpu_per_replica,
        base_port=asked.base_port or recipe.base_port,
    )
