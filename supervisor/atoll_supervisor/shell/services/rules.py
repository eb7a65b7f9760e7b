"""What a recipe must keep to beyond its shape: places, names, and what no request may set."""

import re
from collections.abc import Iterator
from posixpath import basename

from atoll.config.document import Fault
from atoll.config.suggest import did_you_mean, shown
from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import resources_of
from atoll_supervisor.core.services.container import is_built, is_remote
from atoll_supervisor.core.services.order import JOB, OURS, PLACE, checked, is_guarded, written
from atoll_supervisor.core.services.recipe import Amounts, Parameter, ParameterType, Recipe, Value

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PATH = re.compile(r"/[!-~]*", re.ASCII)
_OURS = "is a name of ours"
_INTERPRETERS = frozenset(
    {"sh", "bash", "dash", "ash", "zsh", "ksh", "python", "python3", "{python}", "perl", "node"}
)
_AS_TEXT = re.compile(r"-[A-Za-z]*[ceE]", re.ASCII)
"""Options after which a program's text stands."""


def faults_of(recipe: Recipe) -> Iterator[Fault]:
    """Every mistake in a recipe whose shape is right."""
    if not recipe.name.isprintable():
        yield Fault(path=("name",), message="must be a line of text")
    yield from _command_faults(recipe)
    yield from _environment_faults(recipe)
    for path, value in ((("health", "path"), recipe.health.path), (("metrics",), recipe.metrics)):
        if value and not _PATH.fullmatch(value):
            message = "must begin with a slash and hold no spaces: it is a path of HTTP"
            yield Fault(path=path, message=message)
    for name, parameter in recipe.parameters.items():
        yield from _parameter_faults(recipe, name, parameter)
    if recipe.limits.time_limit is not None and str(recipe.limits.time_limit) == "0":
        message = "must be above 0; leave it out for none"
        yield Fault(path=("limits", "time_limit"), message=message)
    try:
        resources_of(recipe.resources, Amounts(), frozenset(), recipe.limits)
    except ClientError as error:
        yield Fault(path=("resources",), message=str(error).removeprefix("config."))


def _command_faults(recipe: Recipe) -> Iterator[Fault]:
    if not (recipe.command or recipe.image or recipe.container_def):
        yield Fault(path=("command",), message="needs a `command`, or an `image` for Apptainer")
    if is_built(recipe) and is_remote(recipe.image):
        message = "is built nowhere: `image` is one of a registry"
        yield Fault(path=("container_def",), message=message)
    places = OURS | set(recipe.parameters)
    for number, word in enumerate(recipe.command):
        for name in PLACE.findall(word):
            if name not in places:
                hint = did_you_mean(name, places) or f"places are: {', '.join(sorted(places))}"
                message = f"there is no place {{{shown(name)}}} and no such parameter"
                yield Fault(path=("command", number), message=message, hint=hint)
    if recipe.command and "{" in recipe.command[0] and recipe.command[0] != "{python}":
        yield Fault(path=("command", 0), message="the program must not come from a parameter")
    for key, image in (("image", recipe.image), ("container_def", recipe.container_def)):
        if set(PLACE.findall(image)) - {JOB}:
            yield Fault(path=(key,), message="must not come from a parameter: it is what is run")
    yield from _text_faults(recipe)


def _text_faults(recipe: Recipe) -> Iterator[Fault]:
    """A request's text must not become a program's."""
    program, *words = recipe.command or [""]
    at = next((n for n, word in enumerate(words[:-1]) if _AS_TEXT.fullmatch(word)), None)
    if basename(program) not in _INTERPRETERS or at is None:
        return
    for name in PLACE.findall(words[at + 1]):
        if name in recipe.parameters and recipe.parameters[name].type in ("string", "gguf"):
            message = f"`{{{name}}}` stands in a program's text: a request could name a command"
            hint = f'let the text read an argument ("$1") and give it "{{{name}}}" as one'
            yield Fault(path=("command", at + 2), message=message, hint=hint)


def _environment_faults(recipe: Recipe) -> Iterator[Fault]:
    for name in recipe.environment:
        path = ("environment", name)
        if not _VARIABLE.fullmatch(name):
            yield Fault(path=path, message="is no name of a variable", at_key=True)
        elif name.startswith("ATOLL_"):
            yield Fault(path=path, message=_OURS, at_key=True)


def _parameter_faults(recipe: Recipe, name: str, parameter: Parameter) -> Iterator[Fault]:
    path = ("parameters", name)
    if name in OURS or name in ("environment", "resources"):
        yield Fault(path=path, message=_OURS, at_key=True)
    if not _is_on_line(recipe, name, parameter):
        if not _VARIABLE.fullmatch(name):
            message = "is no name of a variable, and stands nowhere in the command"
            yield Fault(path=path, message=message, at_key=True)
        elif is_guarded(name):
            message = "must not come from a request: it decides what is run"
            yield Fault(path=path, message=message, at_key=True)
    if isinstance(parameter.default, str) and f"{{{JOB}}}" in parameter.default:
        message = f"is taken as it is: ${{{JOB}}} may stand in `command` and `environment`"
        yield Fault(path=(*path, "default"), message=message)
    if parameter.default is not None and (wrong := _wrong(parameter, parameter.default)):
        yield Fault(path=(*path, "default"), message=wrong)


def _is_on_line(recipe: Recipe, name: str, parameter: Parameter) -> bool:
    return bool(parameter.flag) or any(f"{{{name}}}" in word for word in recipe.command)


def _wrong(parameter: Parameter, default: Value) -> str:
    """What is wrong with a default, "" when it might as well be asked for."""
    if not _fits(parameter.type, default):
        return f"does not fit the type {parameter.type}"
    try:
        checked("default", parameter, written(default))
    except ClientError as error:
        return str(error).removeprefix("default: ")
    return ""


def _fits(kind: ParameterType, value: Value) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string" | "gguf":
            return isinstance(value, str)
