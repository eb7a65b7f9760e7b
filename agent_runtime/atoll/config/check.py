"""`atoll config check`: every mistake in a manifest, or in a folder of agents."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from atoll.config.load import load_manifest
from atoll.config.names import slug_of
from atoll.errors import ConfigError, Problem

MANIFESTS = ("agent.toml", "agent.json")
"""In the order of preference."""


def check(path: Path, environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """Every mistake; a file is named by its folder and name. Two agents of one slug are one."""
    if path.is_dir() and not any((path / name).is_file() for name in MANIFESTS):
        return tuple(_folder(path, environ))
    manifest = path if path.is_file() else _manifest_in(path)
    return () if manifest is None else tuple(_one(manifest, environ, {}))


def _folder(folder: Path, environ: Mapping[str, str]) -> Iterator[Problem]:
    taken: dict[str, Path] = {}
    manifests = [_manifest_in(place) for place in sorted(folder.iterdir()) if place.is_dir()]
    found = [manifest for manifest in manifests if manifest is not None]
    if not found:
        hint = "an agent is a folder with an agent.toml: [agent] and under it a name"
        yield Problem(file=str(folder), message="holds no agent", hint=hint)
    for manifest in found:
        yield from _one(manifest, environ, taken)


def _manifest_in(folder: Path) -> Path | None:
    return next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)


def _one(manifest: Path, environ: Mapping[str, str], taken: dict[str, Path]) -> Iterator[Problem]:
    shown = f"{manifest.absolute().parent.name}/{manifest.name}"
    try:
        name = load_manifest(manifest, environ).manifest.agent.name
    except ConfigError as error:
        for problem in error.problems:
            yield msgspec.structs.replace(problem, file=shown)
        return
    first = taken.setdefault(slug_of(name), manifest)
    if first is not manifest:
        message = f"the name {name!r} has the same key ({slug_of(name)}) as {first}"
        hint = "give one of the two another agent.name"
        yield Problem(file=shown, message=message, hint=hint)
