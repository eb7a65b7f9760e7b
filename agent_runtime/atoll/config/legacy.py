"""Files of the source systems, read and never written (seeds-contract 1.2).

- `agent.json` with its sibling `mcp.json`;
- `~/.ollama_server/.ollama_config.json`.
"""

from collections.abc import Mapping
from pathlib import Path as FilePath

import msgspec
from msgspec import Struct

from atoll.config.document import Fault, is_there, parse_json, read_file
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.manifest import McpServer
from atoll.config.rules import server_faults, table_of
from atoll.config.spellings import Respelled, respelled
from atoll.config.validate import Validated, validated
from atoll.errors import ConfigError
from atoll.wire.json import JsonObject

OLD_KEYS = ("module", "class", "supported_mcp_servers")
"""Of agents that were Python classes; `pending` says that nothing is done with them."""
_AGENT_KEYS = ("name", "version", "description", "author", "license", "capabilities")


class McpFile(Struct, frozen=True, kw_only=True):
    """A whole `mcp.json`; other programs may keep their own keys beside `servers`."""

    servers: dict[str, McpServer]


def lifted(data: JsonObject) -> Respelled:
    """Put the keys of an agent, which stand on top or under `agent`, under `agent`."""
    done = respelled({key: value for key, value in data.items() if key not in OLD_KEYS})
    nested = done.data.get("agent")
    nested = {} if nested is None else nested
    if isinstance(nested, dict):
        agent = {key: value for key, value in nested.items() if key not in OLD_KEYS}
        for key in [key for key in done.data if key in _AGENT_KEYS]:
            _lift(key, agent, done)
        done.data["agent"] = agent
    return done


def old_keys(data: JsonObject) -> frozenset[str]:
    """Which of the old keys the file sets."""
    nested = data.get("agent")
    inside = nested if isinstance(nested, dict) else {}
    return frozenset(key for key in OLD_KEYS if key in data or key in inside)


def _lift(key: str, agent: JsonObject, done: Respelled) -> None:
    value = done.data.pop(key)
    if key not in agent:
        agent[key] = value
        done.origins["agent", key] = (key,)
    elif agent[key] != value:
        message = f"`{key}` and `agent.{key}` differ"
        done.faults.append(Fault(path=(key,), message=message, hint="keep one", at_key=True))


def read_mcp_json(path: FilePath, environ: Mapping[str, str]) -> dict[str, McpServer]:
    """The servers of an `mcp.json`, by name; raises ConfigError with every mistake."""
    return msgspec.convert(mcp_document(path, environ).data, McpFile).servers


def mcp_document(path: FilePath, environ: Mapping[str, str]) -> Validated:
    """An `mcp.json` without mistakes, in our spelling; raises ConfigError."""
    document = parse_json(path.name, read_file(path, path.name))
    written = respelled(document.data, "servers")
    found = validated(written.data, McpFile, environ)
    rules = server_faults(table_of(found.data, "servers"), ("servers",))
    faults = [*written.faults, *found.faults, *rules]
    if problems := document.problems(faults, written.origins):
        raise ConfigError(*problems)
    return found


def read_ollama_config(home: FilePath) -> LlmDefaults:
    """`~/.ollama_server/.ollama_config.json`, or nothing set when there is none.

    Keys that are not ours are left alone; raises ConfigError with every mistake.
    """
    path = home / ".ollama_server" / ".ollama_config.json"
    if not is_there(path):
        return LlmDefaults()
    document = parse_json(str(path), read_file(path, str(path)))
    found = validated(document.data, LlmDefaults, {})
    if problems := document.problems(found.faults):
        raise ConfigError(*problems)
    return msgspec.convert(found.data, LlmDefaults)
