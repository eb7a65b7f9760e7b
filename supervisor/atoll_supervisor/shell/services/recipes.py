"""Recipes on disk: `inference/vllm` is `inference/vllm.toml` (or .yaml) in a recipe folder.

A recipe says which program runs as us, so that its file is trusted as a
manifest is (attacks.md S15), and a name never leads out of the folders (S12).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from atoll.config.document import Fault, parse_toml, read_file
from atoll.config.suggest import did_you_mean, shown
from atoll.config.validate import SET_IT, Validated, validated
from atoll.errors import ConfigError, NotFound, Problem
from atoll_supervisor.core.services.container import beside
from atoll_supervisor.core.services.order import JOB
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.core.services.source_system import as_ours, completed, notes_of
from atoll_supervisor.core.services.summary import Listed
from atoll_supervisor.shell.discover import trust_problem
from atoll_supervisor.shell.services.rules import faults_of
from atoll_supervisor.shell.services.yaml_document import parse_yaml

SUFFIXES = (".toml", ".yaml", ".yml")
DEEPEST, MOST = 3, 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(/[A-Za-z0-9][A-Za-z0-9_-]{0,62}){0,2}")
_RUN_TIME = {JOB: f"{{{JOB}}}"}
"""The one variable of a recipe's texts, as the place that is filled where the service runs."""
_ONLY_JOB = f"a recipe knows ${{{JOB}}} alone: write $$ for a dollar"


class Recipes:
    """The recipes of some folders; of two with one name, that of the first folder counts.

    Of each folder the first `MOST` files are looked at.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    def load(self, name: str) -> Recipe:
        """Read one; raises NotFound as the source page words it, ConfigError for a bad file."""
        for folder in self._folders if _NAME.fullmatch(name) else ():
            for suffix in SUFFIXES:
                path = folder / f"{name}{suffix}"
                if _is_inside(path, folder):
                    return load_recipe(path, f"{name}{suffix}")
        known = [listed.path for listed in self.list()]
        hint = did_you_mean(name[:60], known)
        raise NotFound(f"Recipe '{shown(name)}' not found" + (f"; {hint}" if hint else ""))

    def list(self) -> tuple[Listed, ...]:
        """Every recipe by its path, with what is wrong with those that are."""
        found: dict[str, Listed] = {}
        for folder in self._folders:
            for path in islice(_files(folder, DEEPEST), MOST):
                name = path.relative_to(folder).with_suffix("").as_posix()
                if name not in found and _NAME.fullmatch(name) and _is_inside(path, folder):
                    found[name] = _listed(path, name)
        return tuple(found[name] for name in sorted(found))


def load_recipe(path: Path, file: str) -> Recipe:
    """Read a recipe; raises ConfigError with every mistake and its place."""
    return _read(path, file).recipe


class _Loaded(Struct, frozen=True):
    recipe: Recipe
    notes: tuple[str, ...] = ()


def _read(path: Path, file: str) -> _Loaded:
    """Anybody may read what is wrong: no place is told from the root of this machine on."""
    root = str(path).removesuffix(f"/{file}")
    try:
        return _loaded(path, file)
    except ConfigError as error:
        raise ConfigError(*(_within(root, problem) for problem in error.problems)) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(Problem(file=file, message=message)) from None


def _within(root: str, problem: Problem) -> Problem:
    """The same, its paths told from the folder of recipes on."""
    file, hint = (
        text.replace(f"{root}/", "").replace(root, Path(root).name)
        for text in (problem.file, problem.hint)
    )
    return replace(problem, file=file, hint=hint)


def _loaded(path: Path, file: str) -> _Loaded:
    for place in (path.parent, path):
        if problem := trust_problem(place):
            raise ConfigError(problem)
    data = read_file(path, file)
    is_toml = path.suffix == ".toml"
    document = parse_toml(file, data) if is_toml else parse_yaml(file, data)
    given = document.data if is_toml else as_ours(document.data)
    found = validated(given, Recipe, _RUN_TIME)
    faults = [*map(_hinted, found.faults), *_rules(found)]
    if faults:
        raise ConfigError(*document.problems(faults))
    recipe = beside(msgspec.convert(found.data, Recipe), str(path.parent.absolute()))
    recipe = recipe if is_toml else completed(recipe)
    return _Loaded(recipe, tuple(notes_of(document.data)))


def _hinted(fault: Fault) -> Fault:
    """The daemon's variables are none of a recipe's: setting one would not help."""
    return replace(fault, hint=_ONLY_JOB) if fault.hint == SET_IT else fault


def _rules(found: Validated) -> Iterator[Fault]:
    """What the Struct cannot say, of a recipe that fits it."""
    return iter(()) if found.faults else faults_of(msgspec.convert(found.data, Recipe))


def _listed(path: Path, name: str) -> Listed:
    category = name.rpartition("/")[0]
    try:
        loaded = _read(path, path.name)
    except ConfigError as error:
        first = error.problems[0]
        told = f"{first.where}: {first.message}"
        return Listed(path=name, name=path.stem, category=category, error=told)
    recipe = loaded.recipe
    return Listed(
        path=name,
        name=recipe.name,
        category=recipe.category or category,
        description=recipe.description,
        version=recipe.version,
        api=recipe.api,
        notes=loaded.notes,
    )


def _files(folder: Path, levels: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries[:MOST]:
        if entry.is_dir() and levels > 1 and not entry.is_symlink():
            yield from _files(entry, levels - 1)
        elif entry.suffix in SUFFIXES and not entry.name.startswith("."):
            yield entry


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether the file exists, and no link leads it out of the folder."""
    try:
        return path.resolve(strict=True).is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, RuntimeError):
        return False
