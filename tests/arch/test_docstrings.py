"""Every public name says what it is for, first in one sentence."""

import ast
from collections.abc import Iterator

from tests.arch.tree import AGENTS, PACKAGES, Function, Source, sources

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(source: Source) -> Iterator[tuple[str, Documented]]:
    """The module, its public functions and classes, and their public methods."""
    yield source.name, source.tree
    yield from _members(source.name, source.tree)


def _members(place: str, parent: ast.Module | ast.ClassDef) -> Iterator[tuple[str, Documented]]:
    for node in parent.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{place}:{node.lineno} {node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _members(place, node)


def test_every_public_name_has_a_docstring() -> None:
    bare = [
        place
        for source in sources(*PACKAGES, AGENTS)
        for place, node in public(source)
        if not ast.get_docstring(node)
    ]
    assert bare == []


def test_nested_public_methods_are_looked_at() -> None:
    text = '"""M."""\nclass A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\n'
    source = sources(AGENTS)[0]
    found = public(Source(source.path, text, ast.parse(text)))
    assert [ast.get_docstring(node) for _, node in found] == ["M.", "A.", None]
