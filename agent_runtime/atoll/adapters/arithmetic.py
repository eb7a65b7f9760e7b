"""Arithmetic in a sentence, computed by a parser of our own bounds; never `eval`."""

import ast
import re

Number = int | float

MAX_TEXT = 200
MAX_DEPTH = 30
MAX_BITS = 4096
"""Whole numbers up to so many bits; a tower of powers ends here, not in memory."""

_EXPRESSION = re.compile(r"[-+(]*\s*\d[\d\s.,()+\-*/%^×÷]*")  # noqa: RUF001
_SPELLINGS = str.maketrans({"×": "*", "÷": "/", "^": "**", ",": ""})  # noqa: RUF001


class Unreadable(Exception):
    """It is no arithmetic, or more of it than we compute."""


def sum_in(text: str) -> str:
    """`12 * 3 = 36` for the first sum in a text, why not for one that cannot be, or ""."""
    for found in _EXPRESSION.finditer(text[: 10 * MAX_TEXT]):
        written = found.group().strip(" ,.")
        if len(written) <= MAX_TEXT and re.search(r"\d\s*[-+*/%^×÷)]", written):  # noqa: RUF001
            try:
                return f"{written} = {computed(written)}"
            except ZeroDivisionError:
                return f"{written} divides by zero"
            except Unreadable:
                continue
    return ""


def computed(written: str) -> str:
    """The value of an expression; raises Unreadable or ZeroDivisionError."""
    try:
        tree = ast.parse(written.translate(_SPELLINGS).strip(), mode="eval")
        value = _value(tree.body, MAX_DEPTH)
        return str(value) if isinstance(value, int) else f"{value:.12g}"
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise Unreadable from error


def _value(node: ast.expr, depth: int) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if depth:
            return -_value(operand, depth - 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand) if depth:
            return _value(operand, depth - 1)
        case ast.BinOp(left=left, op=op, right=right) if depth:
            return _bounded(_applied(op, _value(left, depth - 1), _value(right, depth - 1)))
        case _:
            raise Unreadable


def _applied(op: ast.operator, left: Number, right: Number) -> Number:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return left // right
        case ast.Mod():
            return left % right
        case ast.Pow():
            return _power(left, right)
        case _:
            raise Unreadable


def _power(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and right >= 0:
        if left.bit_length() * right > MAX_BITS:
            raise Unreadable
        whole: int = left**right
        return whole
    value: Number | complex = left**right
    if isinstance(value, complex):
        raise Unreadable
    return value


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Unreadable
    return value
