"""What a manifest asks for and this release does not act on yet, told and never ignored."""

from atoll.config.legacy import OLD_KEYS
from atoll.config.load import Loaded
from atoll.config.manifest import Manifest

Value = str | float | bool | None

_TABLES = ("dependencies",)
_LATER = "is set; this release does not act on it yet"


def pending(loaded: Loaded) -> tuple[str, ...]:
    """One sentence per table or key that the file sets and that nothing comes of today."""
    given = loaded.given
    tables = {key.partition(".")[0] for key in given}
    if loaded.manifest.dependencies is not None:
        tables.add("dependencies")  # even an empty table asks for an interpreter of its own
    told = [f"[{table}] {_LATER}" for table in _TABLES if table in tables]
    for key, (value, today) in _waiting(loaded.manifest).items():
        if key in given and value != today:
            told.append(f"{key} = {_toml(value)} {_LATER}")
    told += [f"{key} is a key of the old system: nothing is done with it" for key in _old(given)]
    return tuple(told)


def _waiting(manifest: Manifest) -> dict[str, tuple[Value, Value]]:
    """Keys that wait for a later release: their value, and the value that holds today."""
    children: dict[str, tuple[Value, Value]] = {}
    for name, child in manifest.sub_agents.items():
        children[f"sub_agents.{name}.service_name"] = (child.service_name, None)
        children[f"sub_agents.{name}.discovery_endpoint"] = (child.discovery_endpoint, None)
        children[f"sub_agents.{name}.mode"] = (child.mode, "local")
    return children | {
        "resources.timeout": (manifest.resources.timeout, None),
    }


def _old(given: frozenset[str]) -> list[str]:
    return [key for key in OLD_KEYS if key in given]


def _toml(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}"
        case _:
            return f'"{value}"'
