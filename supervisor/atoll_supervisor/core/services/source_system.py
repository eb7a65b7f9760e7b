"""The source system's YAML recipes as ours (seeds-contract.md 5.2).

Numbers may be strings there and texts numbers; variables hold the port as a
number, and `0.0.0.0` as the address to listen on, where ours have `{port}` and
`{host}`: the one that is asked is the one the server has, for each replica, and
on this machine nobody else reaches it.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.core.services.recipe import HealthCheck, Recipe

_ASIDE = {
    "deployment_config": "a service keeps its own folder, and a request says how many replicas",
    "distributed": "each replica is one process",
    "nproc_per_node": "each replica is one process",
    "master_port": "each replica is one process",
}
"""Keys that are read and not acted upon, and why."""
_NO_KEYS = ("deployment_config", "health_check", "distributed")
_NUMBERS = ("gpu_per_replica", "base_port", "nproc_per_node", "master_port")
_ANY_ADDRESS = str(IPv4Address(0))
_HEALTH_KEYS = ("interval", "timeout", "retries")


class Known(Struct, frozen=True):
    """What is known of a server by its name: how it is told its address, and how it is asked."""

    category: str
    host: str
    port: str
    health: str
    api: Literal["", "openai"] = ""
    metrics: str = "/metrics"


KNOWN = {
    "vllm": Known("inference", "VLLM_HOST", "VLLM_PORT", "/health", api="openai"),
    "qdrant": Known("vector-db", "QDRANT__SERVICE__HOST", "QDRANT__SERVICE__HTTP_PORT", "/healthz"),
}
"""The source system's servers whose recipes do not say it, by a part of name or image."""


def as_ours(data: JsonObject) -> JsonObject:
    """The document in the shape of a recipe; what is wrong in it is left for the check to find."""
    made = {key: _number(value) if key in _NUMBERS else value for key, value in data.items()}
    for key in _NO_KEYS:
        made.pop(key, None)
    if isinstance(made.get("version"), int | float):
        made["version"] = str(made["version"])
    if isinstance(environment := made.get("environment"), dict):
        made["environment"] = {
            name: _word(value) for name, value in environment.items() if value is not None
        }
    ports = made.get("ports")
    if isinstance(ports, int | str | list):
        made["ports"] = [_number(one) for one in (ports if isinstance(ports, list) else [ports])]
    if isinstance(resources := made.get("resources"), dict) and "nodes" in resources:
        made["resources"] = {**resources, "nodes": _number(resources["nodes"])}
    if isinstance(parameters := made.get("parameters"), dict):
        made["parameters"] = {name: _without_empty(one) for name, one in parameters.items()}
    return {**_health(data), **made}


def completed(recipe: Recipe) -> Recipe:
    """The recipe with our places in its variables, and with what is known of its server."""
    known = _known(recipe)
    port = str(recipe.port)
    given = {name: _place(name, value, port) for name, value in recipe.environment.items()}
    if known is None:
        return replace(recipe, environment=given)
    told = {} if recipe.command else {known.host: "{host}", known.port: "{port}"}
    is_usual = recipe.health.path == HealthCheck().path
    return replace(
        recipe,
        environment={**told, **given},
        api=recipe.api or known.api,
        metrics=recipe.metrics or known.metrics,
        health=replace(recipe.health, path=known.health) if is_usual else recipe.health,
    )


def notes_of(data: JsonObject) -> Iterator[str]:
    """What such a recipe says and we do not act upon."""
    for key, why in _ASIDE.items():
        if data.get(key) is not None:
            yield f"`{key}` is not acted upon: {why}"
    check, resources = data.get("health_check"), data.get("resources")
    if isinstance(check, dict) and check.get("command") is not None:
        yield "`health_check.command` is not acted upon: health is asked for by HTTP"
    if isinstance(resources, dict) and resources.get("storage") is not None:
        yield "`resources.storage` is not acted upon: nothing limits what a service writes"
    for key in ("image", "container_def") if data.get("command") else ():
        if data.get(key) is not None:
            yield f"`{key}` is not acted upon: `command` says what is run"


def _known(recipe: Recipe) -> Known | None:
    words = f"{recipe.name} {recipe.image}".lower()
    found = (known for part, known in KNOWN.items() if part in words)
    return next((one for one in found if one.category == recipe.category), None)


def _health(data: JsonObject) -> JsonObject:
    check = data.get("health_check")
    if not isinstance(check, dict):
        return {}
    made: JsonObject = {key: check[key] for key in _HEALTH_KEYS if key in check}
    if check.get("endpoint") is not None:
        made["path"] = check["endpoint"]
    return {"health": made}


def _place(name: str, value: str, port: str) -> str:
    if name.endswith("PORT") and value == port:
        return "{port}"
    return "{host}" if name.endswith("HOST") and value == _ANY_ADDRESS else value


def _without_empty(parameter: JsonValue) -> JsonValue:
    """An empty default is none there."""
    if not isinstance(parameter, dict):
        return parameter
    return {key: value for key, value in parameter.items() if (key, value) != ("default", "")}


def _number(value: JsonValue) -> JsonValue:
    """A whole number that stands there as text; anything else as it is."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return value


def _word(value: JsonValue) -> JsonValue:
    """A number or a truth as the text it was; a list is a mistake, for the check to find."""
    if isinstance(value, list | dict):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
