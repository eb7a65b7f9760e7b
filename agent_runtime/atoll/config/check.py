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


def check(path: Path, environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """Every mistake; a file is named by its folder and name.

    `path` is a manifest, an agent's folder or a folder of agents. Two agents of
    one key, or of one fixed port, are a mistake of the second.
    """
    if path.is_dir() and manifest_in(path) is None:
        return tuple(_fleet(path, environ))
    _, problems = _one(manifest_in(path) or path, environ)
    return problems


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
    """`ghidra/agent.toml`: the file names of a fleet are all the same."""
    folder = manifest.absolute().parent.name
    return msgspec.structs.replace(problem, file=f"{folder}/{Path(problem.file).name}")
