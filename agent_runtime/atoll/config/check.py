"""`atoll config check`: every mistake in a manifest, or in a folder of agents."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from atoll.config.document import is_there
from atoll.config.load import Loaded, load_manifest, problem_at
from atoll.config.names import slug_of
from atoll.errors import ConfigError, Problem

MANIFESTS = ("agent.toml", "agent.json")
"""In the order of preference."""


def check(path: Path, environ: Mapping[str, str], here: Path) -> tuple[Problem, ...]:
    """Every mistake; a file is named as an editor started in the folder `here` finds it.

    That is relative to `here` when it is below, and absolute when not. `path`
    is a manifest, an agent's folder or a folder of agents, and may be relative
    to `here`. Two agents of one key, or of one fixed port, are a mistake of the
    second.
    """
    place = here / path
    if place.is_dir() and manifest_in(place) is None:
        found = tuple(_fleet(place, environ))
    else:
        _, found = _one(manifest_in(place) or place, environ)
    return tuple(_as_seen_from(here, problem) for problem in found)


def manifest_in(folder: Path) -> Path | None:
    """The manifest of an agent's folder, or None when it is no agent's."""
    return next((folder / name for name in MANIFESTS if is_there(folder / name)), None)


def _fleet(folder: Path, environ: Mapping[str, str]) -> Iterator[Problem]:
    manifests = [found for place in _folders(folder) if (found := manifest_in(place))]
    if not manifests:
        hint = "an agent is a folder with an agent.toml: [agent] and under it a name"
        yield Problem(file=str(folder), message="holds no agent", hint=hint)
    names: dict[str, Loaded] = {}
    ports: dict[int, Loaded] = {}
    for manifest in manifests:
        loaded, problems = _one(manifest, environ)
        yield from problems
        if loaded is not None:
            yield from _second(loaded, names, ports)


def _folders(folder: Path) -> list[Path]:
    try:
        places = sorted(folder.iterdir())
    except OSError as error:
        problem = Problem(file=str(folder), message=f"cannot be read: {error.strerror}")
        raise ConfigError(problem) from error
    return [place for place in places if place.is_dir() and not place.name.startswith(".")]


def _one(manifest: Path, environ: Mapping[str, str]) -> tuple[Loaded | None, tuple[Problem, ...]]:
    try:
        return load_manifest(manifest, environ), ()
    except ConfigError as error:
        return None, tuple(_in_folder(manifest, problem) for problem in error.problems)


def _second(
    loaded: Loaded, names: dict[str, Loaded], ports: dict[int, Loaded]
) -> Iterator[Problem]:
    """What an agent takes that an earlier one has."""
    name, port = loaded.manifest.agent.name, loaded.manifest.deployment.port
    slug = slug_of(name)
    first = names.setdefault(slug, loaded)
    if first is not loaded:
        message = f'"{name}" has the same key ({slug}) as the agent of {first.path}'
        hint = "give one of the two another agent.name"
        yield _at(loaded, ("agent", "name"), message, hint)
    holder = ports.setdefault(port, loaded) if port else loaded
    if holder is not loaded:
        message = f"port {port} is also the fixed port of {holder.path}"
        hint = "give one of the two another port, or 0 for an automatic one"
        yield _at(loaded, ("deployment", "port"), message, hint)


def _at(loaded: Loaded, key: tuple[str, str], message: str, hint: str) -> Problem:
    return _in_folder(loaded.path, problem_at(loaded.path, key, message, hint))


def _in_folder(manifest: Path, problem: Problem) -> Problem:
    """The whole path: the file names of a fleet are all the same."""
    return msgspec.structs.replace(problem, file=str(manifest.with_name(Path(problem.file).name)))


def _as_seen_from(here: Path, problem: Problem) -> Problem:
    file = Path(problem.file)
    if not file.is_relative_to(here) or file == here:
        return problem
    return msgspec.structs.replace(problem, file=str(file.relative_to(here)))
