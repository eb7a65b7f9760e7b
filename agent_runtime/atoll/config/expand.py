"""`${VAR}` and `$VAR` in the strings of a manifest; `$$` is a dollar.

A variable that is not set is a mistake, not an empty string: an agent that
starts without its address or its folder would fail later and elsewhere.
"""

import re
from collections.abc import Mapping

from atoll.config.positions import Path
from atoll.wire.json import JsonValue

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_PROSE = {("llm", "system_prompt"), ("agent", "description"), ("io", "input"), ("io", "output")}
"""Text for people and models: a lone `$VAR` there is prose, only `${VAR}` is a reference."""

Missing = list[tuple[Path, str]]


def expanded(value: JsonValue, environ: Mapping[str, str], missing: Missing) -> JsonValue:
    """`value` with every reference replaced; what is not set is added to `missing`."""
    return _expanded(value, (), environ, missing)


def variables_of(text: str) -> tuple[str, ...]:
    """Every variable that a manifest's text refers to."""
    return tuple(a or b for a, b in _VARIABLE.findall(text) if a or b)


def _expanded(
    value: JsonValue, path: Path, environ: Mapping[str, str], missing: Missing
) -> JsonValue:
    match value:
        case str():
            return _text(value, path, environ, missing)
        case list():
            return [_expanded(v, (*path, n), environ, missing) for n, v in enumerate(value)]
        case dict():
            return {k: _expanded(v, (*path, k), environ, missing) for k, v in value.items()}
        case _:
            return value


def _text(text: str, path: Path, environ: Mapping[str, str], missing: Missing) -> str:
    def replaced(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not name:
            return "$"
        if path in _PROSE and not found[1]:
            return found[0]
        if name not in environ:
            missing.append((path, name))
        return environ.get(name, "")

    return _VARIABLE.sub(replaced, text) if "$" in text else text
