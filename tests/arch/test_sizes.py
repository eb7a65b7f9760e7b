"""Small functions and files: the measurable goals of style.md section 6.7."""

import ast
import re
from math import ceil

import pytest

from tests.arch.tree import ATOLL, ROOT, SUPERVISOR, Source, length, sources

FUNCTION_MEDIAN, FUNCTION_P90, FUNCTION_P99, FUNCTION_MAX = 8, 24, 50, 60
ROUTE_MAX = 25
FILE_MEDIAN, FILE_MAX = 130, 350
ANY_MAX = 5


def quantile(values: list[int], share: float) -> int:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[ceil(share * len(values)) - 1]


def lines(source: Source) -> int:
    return source.text.count("\n")


@pytest.fixture(scope="module")
def tree() -> list[Source]:
    return sources()


def test_functions_are_short(tree: list[Source]) -> None:
    sizes = {f"{s.name}:{f.lineno} {f.name}": length(f) for s in tree for f in s.functions()}
    values = list(sizes.values())
    reached = [quantile(values, share) for share in (0.5, 0.9, 0.99, 1)]
    longest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    print(f"{len(values)} functions: median, p90, p99, max = {reached}; longest: {longest}")
    goals = [FUNCTION_MEDIAN, FUNCTION_P90, FUNCTION_P99, FUNCTION_MAX]
    assert all(value <= goal for value, goal in zip(reached, goals, strict=True)), (
        reached,
        longest,
    )


def test_no_function_of_a_route_module_is_long(tree: list[Source]) -> None:
    rooms = [
        source for source in tree if source.path.parent in (ATOLL / "http", SUPERVISOR / "api")
    ]
    long = [
        f"{s.name}:{f.lineno} {f.name}"
        for s in rooms
        for f in s.functions()
        if length(f) > ROUTE_MAX
    ]
    assert rooms
    assert long == []


def test_files_are_short(tree: list[Source]) -> None:
    sizes = {source.name: lines(source) for source in tree}
    values = list(sizes.values())
    longest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    median, most = quantile(values, 0.5), max(values)
    print(
        f"{len(values)} files, {sum(values)} lines: median {median}, max {most}; longest: {longest}"
    )
    assert median <= FILE_MEDIAN
    assert most <= FILE_MAX, longest


def test_tests_are_as_much_as_the_code(tree: list[Source]) -> None:
    """Printed for the reader; style.md aims at 1.3 lines of test for each line of code."""
    code, tests = sum(map(lines, tree)), sum(map(lines, sources(ROOT / "tests")))
    print(f"test : code = {tests} : {code} = {tests / code:.2f}")
    assert tests > code / 2


def test_nearly_nothing_is_typed_as_any(tree: list[Source]) -> None:
    found = [
        f"{source.name}:{node.lineno}"
        for source in tree
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(found) <= ANY_MAX, found


def test_every_parameter_and_result_is_annotated(tree: list[Source]) -> None:
    bare = [
        f"{source.name}:{function.lineno} {function.name}"
        for source in tree
        for function in source.functions()
        if function.returns is None or not all(_annotated(function.args))
    ]
    assert bare == []


def _annotated(arguments: ast.arguments) -> list[bool]:
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    stars = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return [arg.annotation is not None or arg.arg in ("self", "cls") for arg in given + stars]


def test_quantiles_are_counted_as_said() -> None:
    assert [quantile(list(range(1, 101)), share) for share in (0.5, 0.9, 0.99, 1)] == [
        50,
        90,
        99,
        100,
    ]


def test_every_test_tells_what_must_hold() -> None:
    """By a docstring, or by a name of at least two words."""
    silent = [
        f"{source.name}:{function.lineno} {function.name}"
        for source in sources(ROOT / "tests")
        for function in source.functions()
        if re.match(r"test(_|$)", function.name)
        and not ast.get_docstring(function)
        and function.name.count("_") < 2
    ]
    assert silent == []
