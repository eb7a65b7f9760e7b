"""Every row of the fault matrix has exactly one test that bears its number."""

import ast
from collections import Counter
from pathlib import Path

ROWS = range(1, 49)
FAULTS = Path(__file__).parents[1] / "system" / "faults"


def test_each_of_the_48_rows_has_one_test_of_its_number() -> None:
    """`test_row_07_…` in tests/system/faults is row 7; a parametrised test counts once."""
    counted = Counter(row for file in FAULTS.glob("test_*.py") for row in _rows(file))
    assert counted == dict.fromkeys(ROWS, 1), sorted(counted.items())


def _rows(file: Path) -> list[int]:
    names = [
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [int(name.split("_")[2]) for name in names if name.startswith("test_row_")]
