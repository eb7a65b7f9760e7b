"""`[sub_agents]`: which units of the fleet start before which (DESIGN section 4)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from atoll.config.manifest import Manifest
from atoll.config.names import slug_of, without_tag
from atoll_supervisor.core.reconcile import Broken
from atoll_supervisor.shell.blueprint import Blueprint


def with_children(
    found: Iterable[Blueprint | Broken], manifests: Mapping[Path, Manifest]
) -> Iterator[Blueprint | Broken]:
    """Each blueprint with the slugs of its sub-agents among what it depends on.

    A child that is named need not exist (yet); of a capability these are all
    agents that have it. Cycles are the fleet's to cut.
    """
    found = tuple(found)
    able = _by_capability(found)
    for item in found:
        if isinstance(item, Blueprint) and item.manifest is not None:
            children = tuple(_children(manifests[item.manifest], able))
            yield _after(item, children) if children else item
        else:
            yield item


def _after(agent: Blueprint, children: tuple[str, ...]) -> Blueprint:
    """The same agent, which also waits for these; never for itself."""
    every = dict.fromkeys((*agent.spec.depends_on, *children))
    first = tuple(slug for slug in every if slug != agent.spec.slug)
    return replace(agent, spec=replace(agent.spec, depends_on=first))


def _by_capability(found: Iterable[Blueprint | Broken]) -> Mapping[str, list[str]]:
    able: dict[str, list[str]] = {}
    for item in found:
        if isinstance(item, Blueprint):
            for capability in item.spec.card.capabilities:
                able.setdefault(capability, []).append(item.spec.slug)
    return able


def _children(manifest: Manifest, able: Mapping[str, list[str]]) -> Iterator[str]:
    for child in manifest.sub_agents.values():
        if child.agent:
            yield slug_of(without_tag(child.agent))
        elif child.capability:
            yield from able.get(child.capability, ())
