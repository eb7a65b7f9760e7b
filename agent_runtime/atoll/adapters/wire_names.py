"""Names of tools on a wire that allows letters, digits, `_` and `-` alone, at most 64.

OpenAI refuses a whole request for one other character, and a tool of an MCP
server is called `server.tool` here (DESIGN section 11): there it is `server__tool`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

MOST = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def wire_name(name: str) -> str:
    """The name as such a wire takes it; what is too long ends with a hash of the whole name."""
    made = _FOREIGN.sub("_", name.replace(".", "__"))
    return made if len(made) <= MOST else _marked(name, made)


def wire_names(names: Iterable[str]) -> Mapping[str, str]:
    """Each name by its name on the wire; of two that would be the same the later gets a hash."""
    found: dict[str, str] = {}
    for name in names:
        made = wire_name(name)
        found[_marked(name, made) if made in found else made] = name
    return found


def _marked(name: str, made: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{made[: MOST - 9]}_{digest}"
