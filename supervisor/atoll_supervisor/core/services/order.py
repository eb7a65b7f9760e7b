"""From a recipe and a request to what is run: checked values in a command that nobody can change.

A request's environment may set only what the recipe declares, so no loader
variable (`LD_PRELOAD`, `PYTHONPATH`) and no option (`-x`) comes in by it
(attacks.md S16, S33).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from atoll.config.suggest import did_you_mean, shown
from atoll.errors import ClientError
from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.core.services.amounts import KEYS, Resources, resources_of
from atoll_supervisor.core.services.recipe import (
    Amounts,
    EngineName,
    HealthCheck,
    Location,
    Parameter,
    Recipe,
)
from atoll_supervisor.core.spec import Restart

PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
OURS = frozenset({"python", "host", "port", "data", "name", "key"})
MAX_VALUE = 4096
"""Characters of one value of a request."""
_GUARDED = re.compile(
    "PATH|HOME|SHELL|ENV|BASH_ENV|IFS|LD_.*|PYTHON.*|PERL.*|RUBY.*|NODE_.*|JAVA_.*|JDK_.*"
    "|GLIBC_.*|MALLOC_.*|GCONV_PATH|ATOLL_.*|SLURM_.*|SBATCH_.*|APPTAINER.*|SINGULARITY.*"
)
"""Variables by which programs, and what they load, are found."""
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)

T = TypeVar("T")

FindModel = Callable[[str], str]
"""The GGUF file of a path or of a pulled model's name; raises ClientError."""


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/services`.

    `config` holds `environment`, `resources` and the recipe's parameters whose
    place is the root. `replicas` more than 1 starts a group.
    """

    recipe_name: str
    config: JsonObject | None = None
    engine: EngineName | None = None
    replicas: int = 1


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an engine is to run, made once and kept with the service.

    `values` fill the `{places}` of `command` and of `environment`; `given` are
    variables of the request, taken as they are.
    """

    command: tuple[str, ...]
    values: dict[str, str]
    environment: dict[str, str]
    given: dict[str, str]
    resources: Resources
    health: HealthCheck
    api: str = ""
    metrics: str = ""
    start_limit: float = 600.0
    stop_timeout: float = 10.0
    restart: Restart = "on-failure"
    max_restarts: int = 5
    restart_window: float = 60.0
    partition: str = ""
    account: str = ""
    qos: str = ""

    def argv(self, ours: Mapping[str, str]) -> list[str]:
        """The argument vector; `ours` are the places that the engine knows."""
        every = {**self.values, **ours}
        return [_filled(word, every) for word in self.command]

    def env(self, ours: Mapping[str, str]) -> dict[str, str]:
        """The recipe's variables and the request's; nothing of the daemon's."""
        every = {**self.values, **ours}
        made = {name: _filled(value, every) for name, value in self.environment.items()}
        return {**made, **self.given}


def order_of(recipe: Recipe, wish: Wish, find: FindModel) -> Order:
    """What the request asks for; raises ClientError that names the field and what it may be."""
    sections = _sections(recipe, wish.config or {})
    found: dict[str, str] = {}
    for name, parameter in recipe.parameters.items():
        value = _value_of(name, parameter, sections[parameter.location])
        if value is not None:
            found[name] = find(value) if parameter.type == "gguf" else value
    named = {name for word in _words(recipe) for name in PLACE.findall(word)}
    flags = tuple(_flags(recipe, found))
    on_line = named | {name for name, one in recipe.parameters.items() if one.flag}
    over = {
        name: _text(f"config.environment.{name}", value)
        for name, value in sections["environment"].items()
        if name not in recipe.parameters and value is not None
    }
    return Order(
        command=(*_words(recipe), *flags),
        values={**found, **{_place(n): found[n] for n in found if recipe.parameters[n].flag}},
        environment={k: v for k, v in recipe.environment.items() if k not in over},
        given={**over, **{n: v for n, v in found.items() if n not in on_line}},
        resources=_resources(recipe, sections["resources"]),
        health=recipe.health,
        api=recipe.api,
        metrics=recipe.metrics,
        start_limit=recipe.start_limit,
        stop_timeout=recipe.stop_timeout,
        restart=recipe.restart,
        max_restarts=recipe.max_restarts,
        restart_window=recipe.restart_window,
        partition=recipe.partition,
        account=recipe.account,
        qos=recipe.qos,
    )


def config_shown(config: JsonObject) -> JsonObject:
    """The request's config as lists show it, which need no token: without secrets."""
    return {
        name: config_shown(value) if isinstance(value, dict) else _masked(name, value)
        for name, value in config.items()
    }


def recipe_shown(recipe: Recipe) -> Recipe:
    """The recipe as anybody may see it: without the secrets that its author wrote into it."""
    shown_as = {
        name: "***" if _SECRET.search(name) and not PLACE.search(value) else value
        for name, value in recipe.environment.items()
    }
    parameters = {
        name: replace(one, default=_masked(name, one.default)) if one.default else one
        for name, one in recipe.parameters.items()
    }
    return replace(recipe, environment=shown_as, parameters=parameters)


def _masked(name: str, value: T) -> T | str:
    return "***" if _SECRET.search(name) else value


def _words(recipe: Recipe) -> tuple[str, ...]:
    if recipe.command:
        return recipe.command
    return ("apptainer", "run", *(("--nv",) if recipe.resources.gpu else ()), recipe.image)


def _flags(recipe: Recipe, found: Mapping[str, str]) -> Iterator[str]:
    for name, parameter in recipe.parameters.items():
        value = found.get(name)
        if not parameter.flag or value is None:
            continue
        if parameter.type == "boolean":
            if value == "true":
                yield parameter.flag
        else:
            yield from (parameter.flag, f"{{{_place(name)}}}")


def _place(name: str) -> str:
    """The place of a flag's value: a parameter's name need not be fit for one."""
    return "flag_" + re.sub(r"[^A-Za-z0-9_]", "_", name)


def _sections(recipe: Recipe, config: JsonObject) -> dict[Location, JsonObject]:
    root = {key: config[key] for key in config if key not in ("environment", "resources")}
    sections: dict[Location, JsonObject] = {
        "root": root,
        "environment": _table(config, "environment"),
        "resources": _table(config, "resources"),
    }
    extra: dict[Location, tuple[str, ...]] = {
        "root": (),
        "environment": tuple(name for name in recipe.environment if not _is_fixed(recipe, name)),
        "resources": KEYS,
    }
    for place, table in sections.items():
        own = [name for name, one in recipe.parameters.items() if one.location == place]
        known = [*extra[place], *own]
        for key in table:
            if place == "environment" and _is_fixed(recipe, key):
                raise ClientError(f"config.environment: `{key}` is the recipe's to set")
            if key not in known:
                elsewhere = recipe.parameters.get(key)
                raise _unknown(place, key, known, elsewhere.location if elsewhere else None)
    return sections


def is_guarded(variable: str) -> bool:
    """Whether a variable decides which program or library is run, and so is no request's to set."""
    return _GUARDED.fullmatch(variable) is not None


def _is_fixed(recipe: Recipe, variable: str) -> bool:
    """Whether a variable of the recipe cannot be another: it holds a place of ours, or guards."""
    value = recipe.environment.get(variable)
    if value is None:
        return False
    return is_guarded(variable) or not OURS.isdisjoint(PLACE.findall(value))


def _unknown(
    place: Location, key: str, known: list[str], elsewhere: Location | None
) -> ClientError:
    where = _named(place)
    if elsewhere is not None:
        return ClientError(f"{where}: `{shown(key)}` belongs into `{_named(elsewhere)}` itself")
    others = ["environment", "resources"] if place == "root" else []
    spelt = {name.lower(): name for name in known}
    hint = did_you_mean(key, spelt) or _listed(known + others)
    for lower, name in spelt.items():
        hint = hint.replace(f"`{lower}`", f"`{name}`")
    return ClientError(f"{where}: this recipe has no `{shown(key)}`; {hint}")


def _named(place: Location) -> str:
    return "config" if place == "root" else f"config.{place}"


def _listed(known: list[str]) -> str:
    return f"it has {', '.join(sorted(known)[:20])}" if known else "it has none"


def _table(config: JsonObject, name: str) -> JsonObject:
    table = config.get(name)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise ClientError(f"config.{name}: expected an object")
    return table


def _resources(recipe: Recipe, table: JsonObject) -> Resources:
    own = {n for n, one in recipe.parameters.items() if one.location == "resources"}
    asked = {key: value for key, value in table.items() if key not in own}
    try:
        wish = msgspec.convert(asked, Amounts)
    except msgspec.ValidationError as error:
        told = str(error).partition(" - at `$.")
        where = f".{told[2].rstrip('`')}" if told[1] else ""
        raise ClientError(f"config.resources{where}: {told[0]}") from None
    return resources_of(recipe.resources, wish, frozenset(asked), recipe.limits)


def _value_of(name: str, parameter: Parameter, table: JsonObject) -> str | None:
    place = "" if parameter.location == "root" else f"{parameter.location}."
    where = f"config.{place}{name}"
    given = table.get(name)
    if given is None:
        if parameter.default is None and parameter.required:
            raise ClientError(f"{where}: this recipe needs it: {parameter.description or name}")
        return None if parameter.default is None else written(parameter.default)
    return checked(where, parameter, _text(where, given))


def checked(where: str, parameter: Parameter, text: str) -> str:
    """The value as it is used; raises ClientError that begins with `where`."""
    kind = parameter.type
    if parameter.choices and text not in parameter.choices:
        raise ClientError(f"{where}: expected one of {', '.join(parameter.choices)}")
    if kind in ("integer", "float"):
        return _ranged(where, parameter, text)
    if kind == "boolean":
        if text.lower() not in ("true", "false", "1", "0"):
            raise ClientError(f"{where}: expected true or false")
        return "true" if text.lower() in ("true", "1") else "false"
    if text.startswith("-") or not text:
        raise ClientError(f"{where}: must not be empty or begin with a dash")
    return text


def _ranged(where: str, parameter: Parameter, text: str) -> str:
    pattern = _INTEGER if parameter.type == "integer" else _FLOAT
    if not pattern.fullmatch(text) or not isfinite(float(text)):
        raise ClientError(f"{where}: expected a number ({parameter.type})")
    low, high = parameter.minimum, parameter.maximum
    if (low is not None and float(text) < low) or (high is not None and float(text) > high):
        least = () if low is None else (f"at least {low:g}",)
        most = () if high is None else (f"at most {high:g}",)
        raise ClientError(f"{where}: expected a number, {' and '.join((*least, *most))}")
    return text


def _text(where: str, value: JsonValue) -> str:
    """A value as a variable or an argument can have it."""
    if not isinstance(value, str | int | float | bool):
        raise ClientError(f"{where}: expected a string or a number")
    text = written(value)
    if len(text) > MAX_VALUE or not text.isprintable():
        raise ClientError(f"{where}: at most {MAX_VALUE} characters, and none of control")
    return text


def written(value: str | float | bool) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _filled(word: str, values: Mapping[str, str]) -> str:
    """Once, so that a `{port}` inside of somebody's value stays what it is."""
    return PLACE.sub(lambda found: values.get(found[1], found[0]), word)
