"""A document against the manifest's Structs: every mistake, not only the first.

msgspec stops at its first error and knows no unknown key's neighbours, so the
tables are walked here and each value is converted by itself; what a value must
be is still said by the Structs alone.
"""

import math
from collections.abc import Iterator, Mapping
from typing import get_args, get_origin

import msgspec
from msgspec import Struct

from atoll.config.manifest import Manifest
from atoll.config.names import name_fault
from atoll.config.positions import Path
from atoll.config.suggest import did_you_mean
from atoll.wire.json import JsonObject, JsonValue

FIRST_PORT = 1024


class Fault(Struct, frozen=True, kw_only=True):
    """One mistake; `at_key` when the key is wrong, else the value is."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


def faults_of(document: JsonObject) -> list[Fault]:
    """Every mistake of the document, in the order of the schema."""
    return [*_table(Manifest, document, ()), *_sense(document)]


def _table(kind: type[Struct], table: JsonObject, path: Path) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in table:
        if key not in fields:
            yield _unknown(key, (*path, key), fields)
    for key, field in fields.items():
        if key in table:
            yield from _value(field.type, table[key], (*path, key))
        elif field.required:
            yield _missing(key, path)


def _unknown(key: str, path: Path, known: Mapping[str, object]) -> Fault:
    where = f"in [{'.'.join(map(str, path[:-1]))}]" if len(path) > 1 else "at the top level"
    hint = did_you_mean(key, known) or f"known keys: {', '.join(sorted(known))}"
    return Fault(path=path, message=f"unknown key {key!r} {where}", hint=hint, at_key=True)


def _missing(key: str, path: Path) -> Fault:
    if path:
        message = f"[{'.'.join(map(str, path))}] needs the key {key!r}"
    else:
        message = f"needs the table [{key}]"
    hint = 'the least manifest is: [agent] and under it name = "My agent"'
    return Fault(path=path, message=message, hint=hint, at_key=True)


def _value(kind: object, value: JsonValue, path: Path) -> Iterator[Fault]:
    struct = _struct_in(kind)
    if struct is not None and isinstance(value, dict):
        yield from _table(struct, value, path)
    elif struct is not None or not _is_rows(kind):
        yield from _leaf(kind, value, path)
    elif not isinstance(value, dict):
        yield Fault(path=path, message=f"must be tables: [{path[0]}.<name>]")
    else:
        for name, row in value.items():
            yield from _value(get_args(kind)[1], row, (*path, name))


def _struct_in(kind: object) -> type[Struct] | None:
    """The Struct that a type is, alone or beside None."""
    for option in (kind, *get_args(kind)):
        if isinstance(option, type) and issubclass(option, Struct) and not _is_rows(kind):
            return option
    return None


def _is_rows(kind: object) -> bool:
    """Whether a type is a dict of Structs: tables with names that people choose."""
    if get_origin(kind) is not dict:
        return False
    row = get_args(kind)[1]
    return isinstance(row, type) and issubclass(row, Struct)


def _leaf(kind: object, value: JsonValue, path: Path) -> Iterator[Fault]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Fault(path=path, message=f"expected a finite number, got {value}")
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words, _, inner = str(error).partition(" - at `$")
        yield Fault(path=(*path, *_inner(inner)), message=_plain(words, kind))


def _inner(path: str) -> Path:
    """msgspec's own path below the value: `[3]` is the fourth item, `[...]` some key."""
    index = path.rstrip("`").strip("[]")
    return (int(index),) if index.isdecimal() else ()


def _plain(words: str, kind: object) -> str:
    """msgspec's sentence in the words of TOML; a wrong word is told the right ones."""
    if words.startswith("Invalid enum value"):
        return f"{words[0].lower()}{words[1:]}; expected {_choices(kind)}"
    for python, toml in _NAMES.items():
        words = words.replace(f"`{python}`", toml)
    words = words.replace(" | null", "")
    return f"{words[:1].lower()}{words[1:]}"


def _choices(kind: object) -> str:
    words = [word for option in (kind, *get_args(kind)) for word in get_args(option) or (option,)]
    return ", ".join(repr(word) for word in dict.fromkeys(words) if isinstance(word, str))


_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "int | null": "a whole number",
    "float | null": "a number",
    "str | null": "a string",
    "str | float": "a word or a number",
}


def _sense(document: JsonObject) -> Iterator[Fault]:
    """What types alone cannot say."""
    agent, llm, deployment = (_sub(document, key) for key in ("agent", "llm", "deployment"))
    name = agent.get("name")
    if isinstance(name, str) and (fault := name_fault(name)):
        yield Fault(path=("agent", "name"), message=f"the name {fault}")
    if llm.get("provider") == "scripted" and "script" not in llm:
        hint = 'add: script = "script.toml"'
        yield Fault(path=("llm", "provider"), message="needs the key 'script'", hint=hint)
    port = deployment.get("port")
    if isinstance(port, int) and 0 < port < FIRST_PORT:
        message = f"port {port} is privileged; expected 0 (automatic) or 1024 to 65535"
        yield Fault(path=("deployment", "port"), message=message)
    for name, server in _sub(document, "mcp_servers").items():
        if isinstance(server, dict):
            yield from _mcp(name, server)
    for name, child in _sub(document, "sub_agents").items():
        if isinstance(child, dict):
            yield from _child(name, child)


def _sub(document: JsonObject, key: str) -> JsonObject:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _mcp(name: str, server: JsonObject) -> Iterator[Fault]:
    kind = server.get("type", "stdio")
    needed = {"stdio": "command", "sse": "url", "http": "url"}.get(str(kind), "")
    if needed and needed not in server:
        message = f"a server of type {kind!r} needs the key {needed!r}"
        yield Fault(path=("mcp_servers", name), message=message, at_key=True)


def _child(name: str, child: JsonObject) -> Iterator[Fault]:
    path: Path = ("sub_agents", name)
    if "auth_token" in child:
        message = "a secret must not stand in a manifest"
        hint = 'put it into a variable and name that: auth_token_env = "CHILD_TOKEN"'
        yield Fault(path=(*path, "auth_token"), message=message, hint=hint, at_key=True)
    named = [key for key in ("url", "agent", "capability") if key in child]
    if len(named) != 1:
        message = (
            f"needs exactly one of url, agent, capability; has {' and '.join(named) or 'none'}"
        )
        yield Fault(path=path, message=message, at_key=True)
