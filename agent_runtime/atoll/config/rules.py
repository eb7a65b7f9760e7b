"""What the types of a manifest cannot say: keys that need or exclude each other, names, URLs.

The rules look at the document, not at the Structs, so that they are told
together with every other mistake of the file.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from atoll.config.document import Fault
from atoll.config.expand import is_variable
from atoll.config.loopback import FIRST_PORT
from atoll.config.names import NOBODY, name_fault, slug_of
from atoll.config.positions import Path
from atoll.config.signature import SignatureError, parse_signature, split_signature
from atoll.config.suggest import one_of
from atoll.wire.json import JsonObject, JsonValue

_LOADER = re.compile(r"LD_[A-Z_]+|PYTHON(STARTUP|PATH|HOME)|BASH_ENV")
"""Variables that make a program run somebody else's code before its own (attacks.md S16)."""
_NEEDED = {"stdio": "command", "sse": "url", "http": "url"}


def rule_faults(data: JsonObject) -> Iterator[Fault]:
    """Every broken rule of a manifest in our spelling."""
    yield from _name(data, ("agent", "name"))
    yield from _llm(table_of(data, "llm"))
    yield from _io(table_of(data, "io"))
    yield from _port(table_of(data, "deployment").get("port"), ("deployment", "port"))
    yield from server_faults(table_of(data, "mcp_servers"), ("mcp_servers",))
    for name, child in table_of(data, "sub_agents").items():
        yield from _named(name, ("sub_agents", name))
        if isinstance(child, dict):
            yield from _child(child, ("sub_agents", name))


def server_faults(servers: JsonObject, table: Path) -> Iterator[Fault]:
    """Every broken rule of MCP servers, in a manifest or in an `mcp.json`."""
    for name, server in servers.items():
        yield from _named(name, (*table, name))
        if isinstance(server, dict):
            yield from _server(server, (*table, name))


def changes_code(name: str) -> bool:
    """Whether a variable of this name makes a program run code that it does not hold."""
    return _LOADER.fullmatch(name) is not None


def table_of(data: JsonObject, key: str) -> JsonObject:
    """The table of this name, or an empty one."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _name(data: JsonObject, path: Path) -> Iterator[Fault]:
    name = table_of(data, "agent").get("name")
    if isinstance(name, str) and (fault := name_fault(name)):
        yield Fault(path=path, message=f"the name {fault}")


def _named(name: str, path: Path) -> Iterator[Fault]:
    if fault := name_fault(name):
        yield Fault(path=path, message=f"the name of a table {fault}", at_key=True)


def _llm(llm: JsonObject) -> Iterator[Fault]:
    yield from _url(llm, ("llm",), "base_url")
    yield from _variable(llm, ("llm",), "api_key_env")
    if llm.get("provider") == "scripted" and "script" not in llm:
        message = 'a provider of "scripted" needs the key `script`'
        yield Fault(path=("llm", "provider"), message=message, hint='add `script = "script.toml"`')
    if llm.get("port") == 0:
        yield Fault(path=("llm", "port"), message="expected a port from 1 to 65535, got 0")


def _io(io: JsonObject) -> Iterator[Fault]:
    yield from _signature(io, "input", parse_signature)
    yield from _signature(io, "output", parse_signature)
    yield from _signature(io, "signature", split_signature)
    if "signature" in io and (twice := [key for key in ("input", "output") if key in io]):
        message = f"`signature` holds the input and the output, and there is {one_of(twice)} too"
        hint = "keep `signature`, or the two others"
        yield Fault(path=("io", "signature"), message=message, hint=hint, at_key=True)
    if "hand_off" in io and "hand_off_choices" in io:
        message = "`hand_off` names the next agent and `hand_off_choices` lets the model choose"
        yield Fault(path=("io", "hand_off"), message=message, hint="keep one of them", at_key=True)
    yield from _choices(io.get("hand_off_choices"))


def _choices(choices: JsonValue) -> Iterator[Fault]:
    names = choices if isinstance(choices, list) else []
    if any(isinstance(name, str) and slug_of(name) == NOBODY for name in names):
        message = f"`{NOBODY}` is what a model says that chooses nobody"
        hint = "give that agent another name, or leave it out: nobody can always be chosen"
        yield Fault(path=("io", "hand_off_choices"), message=message, hint=hint)


def _signature(io: JsonObject, key: str, parse: Callable[[str], object]) -> Iterator[Fault]:
    text = io.get(key)
    if isinstance(text, str) and "${" not in text:
        try:
            parse(text)
        except SignatureError as error:
            message = f"at character {error.at} of the signature: {error.message}"
            yield Fault(path=("io", key), message=message, hint=error.hint)


def _port(port: JsonValue, path: Path) -> Iterator[Fault]:
    if isinstance(port, int) and 0 < port < FIRST_PORT:
        message = f"port {port} is privileged; expected 0 (automatic) or a port from 1024 to 65535"
        yield Fault(path=path, message=message)


def _server(server: JsonObject, path: Path) -> Iterator[Fault]:
    kind = server.get("type", "stdio")
    needed = _NEEDED.get(kind, "") if isinstance(kind, str) else ""
    if needed and needed not in server:
        message = f"an MCP server of type `{kind}` needs the key `{needed}`"
        yield Fault(path=path, message=f"[{'.'.join(map(str, path))}]: {message}", at_key=True)
    yield from _url(server, path, "url")
    yield from _command(server.get("command"), (*path, "command"))
    yield from _folder(server.get("cwd"), (*path, "cwd"))
    for name in table_of(server, "env"):
        if changes_code(name):
            message = f"`{name}` would change what code the server runs"
            yield Fault(path=(*path, "env", name), message=message, at_key=True)


def _command(command: JsonValue, path: Path) -> Iterator[Fault]:
    if not isinstance(command, str):
        return
    if not command or any(char.isspace() for char in command):
        hint = 'its arguments stand in `args = ["…"]`'
        yield Fault(path=path, message="expected the name of one program", hint=hint)
    elif "/" in command and not command.startswith("/"):
        message = "expected a program on PATH, or an absolute path"
        yield Fault(path=path, message=message)


def _folder(cwd: JsonValue, path: Path) -> Iterator[Fault]:
    if isinstance(cwd, str) and ".." in PurePosixPath(cwd).parts:
        yield Fault(path=path, message="must not lead out of the agent's folder")


def _child(child: JsonObject, path: Path) -> Iterator[Fault]:
    named = [key for key in ("url", "agent", "capability") if key in child]
    if len(named) != 1:
        has = f"has {' and '.join(named)}" if named else "has none"
        message = f"needs exactly one of `url`, `agent`, `capability`; {has}"
        yield Fault(path=path, message=f"[{'.'.join(map(str, path))}] {message}", at_key=True)
    yield from _url(child, path, "url")
    yield from _no_password(child, path)
    yield from _variable(child, path, "auth_token_env")


def _no_password(child: JsonObject, path: Path) -> Iterator[Fault]:
    """An address is told in events and results; a secret in it would be, too."""
    url = child.get("url")
    if isinstance(url, str) and not _url_fault(url) and "@" in urlsplit(url).netloc:
        hint = "name the variable of a token with `auth_token_env`"
        yield Fault(path=(*path, "url"), message="expected a URL without a password", hint=hint)


def _url(table: JsonObject, path: Path, key: str) -> Iterator[Fault]:
    url = table.get(key)
    if isinstance(url, str) and (message := _url_fault(url)):
        yield Fault(path=(*path, key), message=message)


def _url_fault(url: str) -> str:
    """What is wrong with a URL (RFC 3986), or ""; never shows it, it may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "expected a URL with a host and at most a port up to 65535"
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "expected a URL that begins with http:// or https://"
    if any(char.isspace() or not char.isprintable() for char in url):
        return "expected a URL without spaces and control characters"
    if not host or port == 0:
        return "expected a URL with a host, and no port 0"
    return ""


def _variable(table: JsonObject, path: Path, key: str) -> Iterator[Fault]:
    """The name of a variable; never shown, it could be the secret itself."""
    name = table.get(key)
    if isinstance(name, str) and not is_variable(name):
        message = "expected the name of an environment variable, not a value"
        yield Fault(path=(*path, key), message=message)
