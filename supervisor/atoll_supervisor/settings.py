"""The daemon's settings and where each came from.

Flag > `ATOLL_*` > project file > user file > default (DESIGN section 9). The
project file is `atoll.toml` in the working directory, table `[daemon]`; the
user files are `$XDG_CONFIG_HOME/atoll/config.toml`, then the source system's
`~/.atoll/deployment_servers.json` and `~/.atoll/atoll.json`.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from atoll.config.legacy import decode_json
from atoll.config.suggest import did_you_mean
from atoll.config.toml_text import parse_toml
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject, JsonValue

Origin = str
Layer = tuple[Origin, Mapping[str, object]]


class Settings(Struct, frozen=True, kw_only=True):
    """How the daemon runs. `max_agents` None means no limit."""

    agents_dir: Path = Path("atoll_agents")
    host: str = "127.0.0.1"
    api_port: int = 8099
    base_port: int = 8100
    state_dir: Path | None = None
    auth: Literal["token", "none"] = "token"
    max_agents: int | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    origins: dict[str, Origin] = {}


KEYS = tuple(name for name in Settings.__struct_fields__ if name != "origins")
_LEGACY_KEYS = {
    "agents_directory": "agents_dir",
    "host": "host",
    "api_port": "api_port",
    "base_port": "base_port",
    "max_agents": "max_agents",
}


def read_settings(
    flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path, home: Path
) -> Settings:
    """The settings and their origins; raises ConfigError that names the origin of a bad value."""
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    for origin, layer in _layers(flags, environ, cwd, home):
        for key, value in layer.items():
            if key not in values:
                shown = f"ATOLL_{key.upper()}" if origin == "environment" else origin
                values[key] = _value(key, value, shown)
                origins[key] = shown
    settings = msgspec.convert(values | {"origins": origins}, Settings, dec_hook=_path)
    _check_reach(settings)
    return _absolute(settings, cwd)


def _layers(
    flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path, home: Path
) -> Iterator[Layer]:
    """From the strongest to the weakest."""
    for key, value in flags.items():
        yield f"--{key.replace('_', '-')}", {key: value}
    named = {key: environ.get(f"ATOLL_{key.upper()}", "") for key in KEYS}
    yield "environment", {key: value for key, value in named.items() if value}
    yield from _toml(cwd / "atoll.toml", "daemon")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "atoll" / "config.toml"
    yield from _toml(config, "daemon")
    for name in ("deployment_servers.json", "atoll.json"):
        yield from _legacy(home / ".atoll" / name)


def _toml(path: Path, table: str) -> Iterator[Layer]:
    if not path.is_file():
        return
    _, document = parse_toml(str(path), path.read_bytes())
    found = document.get(table, {})
    values = found if isinstance(found, dict) else {}
    for key in values:
        if key not in KEYS:
            message = f"unknown key {key!r} in [{table}]"
            raise ConfigError(
                Problem(file=str(path), message=message, hint=did_you_mean(key, KEYS))
            )
    yield str(path), values


def _legacy(path: Path) -> Iterator[Layer]:
    """Flat, or nested in `deployment_server` as `atoll-deploy --config` wrote it."""
    if not path.is_file():
        return
    found = decode_json(path, path.read_bytes())
    nested = found.get("deployment_server")
    values: JsonObject = nested if isinstance(nested, dict) else found
    ours = {_LEGACY_KEYS[key]: value for key, value in values.items() if key in _LEGACY_KEYS}
    if ours.get("host") == "localhost":
        ours["host"] = "127.0.0.1"
    yield str(path), {key: value for key, value in ours.items() if value is not None}


def _value(key: str, value: object, origin: Origin) -> JsonValue:
    """One value in its type, whatever it was written as; raises ConfigError."""
    try:
        return _READERS.get(key, _text)(value)
    except ValueError as error:
        message = f"{value!r} is not {error}"
        raise ConfigError(Problem(file=origin, message=message)) from error


def _text(value: object) -> JsonValue:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("a text")
    return str(value)


def _port(value: object) -> JsonValue:
    text = "" if isinstance(value, bool) else str(value)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise ValueError("a port (1024-65535)")
    return int(text)


def _count(value: object) -> JsonValue:
    text = "" if isinstance(value, bool) else str(value)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("a whole number of 1 or more")
    return int(text)


def _auth(value: object) -> JsonValue:
    if value not in ("token", "none"):
        raise ValueError('"token" or "none"')
    return str(value)


def _names(value: object) -> JsonValue:
    """A list of texts, or one text with commas as the environment has it."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return list(msgspec.convert(value, tuple[str, ...]))
    except msgspec.ValidationError as error:
        raise ValueError("a list of texts") from error


_READERS: Mapping[str, Callable[[object], JsonValue]] = {
    "api_port": _port,
    "base_port": _port,
    "max_agents": _count,
    "auth": _auth,
    "allowed_hosts": _names,
    "allowed_origins": _names,
}


def _path(kind: type, value: object) -> object:
    return kind(value)


def _check_reach(settings: Settings) -> None:
    if settings.auth == "none" and not is_loopback(settings.host):
        message = "a bind address other than loopback needs a token"
        hint = "drop --auth none, or use --host 127.0.0.1"
        where = settings.origins.get("host", "--host")
        raise ConfigError(Problem(file=f"{where} {settings.host}", message=message, hint=hint))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _absolute(settings: Settings, cwd: Path) -> Settings:
    state = settings.state_dir
    return msgspec.structs.replace(
        settings,
        agents_dir=cwd / settings.agents_dir.expanduser(),
        state_dir=None if state is None else cwd / state.expanduser(),
    )
