"""Files of the source systems, read and never written (seeds-contract 1.2).

- `agent.json` with its sibling `mcp.json`;
- `~/.ollama_server/.ollama_config.json`.
"""

from pathlib import Path

import msgspec

from atoll.config.llm_defaults import LlmDefaults
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject, JsonValue

_OLD_KEYS = ("module", "class", "supported_mcp_servers")
"""Of agents that were Python classes; `pending` says that nothing is done with them."""
_AGENT_KEYS = ("name", "version", "description", "author", "license", "capabilities")


def document_of_agent_json(path: Path, data: bytes) -> JsonObject:
    """A legacy manifest as a document of `agent.toml`: `name` on top or under `agent`."""
    found = decode_json(path, data)
    nested = found.get("agent")
    agent: JsonObject = dict(nested) if isinstance(nested, dict) else {}
    document: JsonObject = {}
    for key, value in found.items():
        if key in _AGENT_KEYS:
            agent.setdefault(key, value)
        elif key not in ("agent", *_OLD_KEYS):
            document[key] = value
    beside = path.with_name("mcp.json")
    if beside.is_file() and "mcp_servers" not in document:
        document["mcp_servers"] = dict(read_mcp_json(beside))
    return {"agent": agent, **document}


def read_mcp_json(path: Path) -> JsonObject:
    """The servers of an `mcp.json`, by name; raises ConfigError."""
    servers = decode_json(path, path.read_bytes()).get("servers")
    if not isinstance(servers, dict):
        message = 'needs the key "servers" with a table of servers'
        raise ConfigError(Problem(file=path.name, message=message))
    return servers


def read_ollama_config(home: Path) -> LlmDefaults:
    """`~/.ollama_server/.ollama_config.json`, or nothing set when there is none."""
    path = home / ".ollama_server" / ".ollama_config.json"
    try:
        data = path.read_bytes()
    except OSError:
        return LlmDefaults()
    try:
        return msgspec.convert(decode_json(path, data), LlmDefaults)
    except msgspec.ValidationError as error:
        raise ConfigError(Problem(file=str(path), message=str(error))) from error


def decode_json(path: Path, data: bytes) -> JsonObject:
    """A JSON object out of a person's file; raises ConfigError with line and column."""
    try:
        value: JsonValue = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        line, column = _place(data, str(error))
        message = f"not valid JSON: {str(error).partition(' (byte')[0]}"
        problem = Problem(file=path.name, message=message, line=line, column=column)
        raise ConfigError(problem) from error
    if not isinstance(value, dict):
        raise ConfigError(Problem(file=path.name, message="must be a JSON object"))
    return value


def _place(data: bytes, words: str) -> tuple[int, int]:
    """Line and column of msgspec's `(byte N)`; the end of the file where it names none."""
    digits = words.rpartition("(byte ")[2].rstrip(")")
    at = int(digits) if digits.isdecimal() else len(data)
    start = data.rfind(b"\n", 0, at) + 1
    return data.count(b"\n", 0, at) + 1, at - start + 1
