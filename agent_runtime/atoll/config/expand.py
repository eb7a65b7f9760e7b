"""`${VAR}` and `$VAR` in the strings of a manifest; `$$` is a dollar.

A variable that is not set is a mistake, not an empty string: an agent that
starts without its address or its folder would fail later and elsewhere.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from atoll.config.positions import Path

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(?:\$|\{{({_NAME})\}}|({_NAME})|\{{)")
_ALONE = re.compile(rf"\$(?:\{{({_NAME})\}}|({_NAME}))")
_PROSE = frozenset(
    {
        ("llm", "system_prompt"),
        ("agent", "description"),
        ("description",),
        ("io", "input"),
        ("io", "output"),
        ("io", "signature"),
    }
)
"""Text for people and models: only `${VAR}` is a reference there, a lone `$VAR` is prose."""


class Expanded(Struct, frozen=True):
    """A string after expansion: which variables it names, and what is wrong with it."""

    text: str
    names: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def expanded(text: str, path: Path, environ: Mapping[str, str]) -> Expanded:
    """`text` with every reference replaced; what cannot be replaced is left as it is."""
    if "$" not in text:
        return Expanded(text)
    names: list[str] = []
    faults: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if found[0] == "$$":
            return "$"
        if path in _PROSE and not found[1]:
            return found[0]
        if fault := _fault(name, environ):
            faults.append(fault)
            return found[0]
        names.append(name)
        return environ[name]

    return Expanded(_REFERENCE.sub(replaced, text), tuple(names), tuple(faults))


def reference(text: str) -> str:
    """The name of the variable when the whole text is one reference, else ""."""
    found = _ALONE.fullmatch(text)
    return (found[1] or found[2]) if found else ""


def is_variable(text: str) -> bool:
    """Whether the text can be the name of an environment variable."""
    return re.fullmatch(_NAME, text) is not None


def _fault(name: str | None, environ: Mapping[str, str]) -> str:
    if not name:
        return "`${` is not followed by a variable's name and `}`"
    if name not in environ:
        return f"the variable {name} is not set"
    # os.environ carries bytes that are no UTF-8 as lone surrogates, which no JSON may hold.
    if not environ[name].isascii() and any("\ud800" <= char <= "\udfff" for char in environ[name]):
        return f"the variable {name} is not UTF-8 text"
    return ""
