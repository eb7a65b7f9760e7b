"""The daemon's settings and where each came from.

Flag > `ATOLL_*` > project file > user file > default (DESIGN section 9). The
project file is `atoll.toml` in the working directory, table `[daemon]`; the
user files are `$XDG_CONFIG_HOME/atoll/config.toml`, then the source system's
`~/.atoll/deployment_servers.json` and `~/.atoll/atoll.json`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from atoll.config.document import Document, Fault, is_there, parse_json, parse_toml, read_file
from atoll.config.loopback import is_loopback
from atoll.config.places import places_of
from atoll.config.positions import Path as KeyPath
from atoll.config.suggest import did_you_mean, shown
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject, JsonValue

Origin = str
Blame = Callable[[str, str], Problem]
"""Makes the Problem of a key: which key, and what is wrong with its value."""


class Settings(Struct, frozen=True, kw_only=True):
    """How the daemon runs; paths that were read are absolute.

    `keep_runs` and `keep_runs_days` say how many runs that have ended are kept, and for
    how long. `max_agents` None means no limit, `state_dir` None the place that the
    environment gives (`atoll.config.places`). `slurm_rest` is the unix socket of a
    slurmrestd that is asked instead of SLURM's commands. `origins` tells where each value
    that is no default came from: `--host`, `ATOLL_HOST`, or a file.
    """

    agents_dir: Path = Path("atoll_agents")
    recipes_dir: Path = Path("recipes")
    host: str = "127.0.0.1"
    api_port: int = 8099
    base_port: int = 8100
    state_dir: Path | None = None
    auth: Literal["token", "none"] = "token"
    max_agents: int | None = None
    keep_runs: int = 100_000
    keep_runs_days: int = 30
    slurm_rest: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    origins: dict[str, Origin] = {}


class Layer(Struct, frozen=True):
    """What one source says: relative paths in it start at `base`."""

    base: Path
    values: Mapping[str, object]
    origin: Callable[[str], Origin]
    blame: Blame


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
    """The settings and their origins; raises ConfigError with every bad value and its origin."""
    values: dict[str, object] = {
        "agents_dir": cwd / "atoll_agents",
        "recipes_dir": cwd / "recipes",
    }
    origins: dict[str, Origin] = {}
    problems: list[Problem] = []
    for layer in _layers(flags, environ, cwd, home):
        for key, given in layer.values.items():
            try:
                value = _READERS[key](given)
            except ValueError as error:
                problems.append(layer.blame(key, f"{_quoted(given)} is not {error}"))
                continue
            if key not in origins:
                values[key] = _placed(value, layer.base, home) if key in _PATHS else value
                origins[key] = layer.origin(key)
    if problems:
        raise ConfigError(*problems)
    settings = msgspec.convert({**values, "origins": origins}, Settings)
    _check_reach(settings)
    return settings


def _layers(
    flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path, home: Path
) -> Iterator[Layer]:
    """From the strongest to the weakest."""
    yield _words(flags, cwd, _flag)
    named = {key: environ.get(_variable(key), "") for key in KEYS}
    yield _words({key: value for key, value in named.items() if value}, cwd, _variable)
    yield from _toml(cwd / "atoll.toml")
    yield from _toml(places_of({**environ, "HOME": str(home)}, 0).config / "config.toml")
    for name in ("deployment_servers.json", "atoll.json"):
        yield from _legacy(home / ".atoll" / name, cwd)


def _words(values: Mapping[str, object], cwd: Path, origin: Callable[[str], Origin]) -> Layer:
    """What a person typed: flags that were given, or variables that are set."""
    given = {key: value for key, value in values.items() if value is not None}

    def blame(key: str, words: str) -> Problem:
        return Problem(file=origin(key), message=words)

    return Layer(cwd, given, origin, blame)


def _flag(key: str) -> Origin:
    return f"--{key.replace('_', '-')}"


def _variable(key: str) -> Origin:
    return f"ATOLL_{key.upper()}"


def _toml(path: Path) -> Iterator[Layer]:
    """Our own file; raises ConfigError when it cannot be read or has keys nobody knows."""
    if not is_there(path):
        return
    document = parse_toml(str(path), read_file(path, str(path)))
    table = document.data.get("daemon", {})
    if problems := document.problems(_unknown(document.data, table)):
        raise ConfigError(*problems)
    if isinstance(table, dict):
        yield _file(path, path.parent, document, {key: ("daemon", key) for key in table})


def _unknown(data: JsonObject, table: JsonValue) -> Iterator[Fault]:
    if not isinstance(table, dict):
        yield Fault(path=("daemon",), message="expected a table: [daemon]")
        return
    for known, keys, path in ((("daemon",), data, ()), (KEYS, table, ("daemon",))):
        for key in keys:
            if key not in known:
                hint = did_you_mean(key, known) or f"known keys: {', '.join(sorted(known))}"
                message = f"unknown key `{shown(key)}`"
                yield Fault(path=(*path, key), message=message, hint=hint, at_key=True)


def _legacy(path: Path, cwd: Path) -> Iterator[Layer]:
    """Flat, or nested in `deployment_server` as `atoll-deploy --config` wrote it."""
    if not is_there(path):
        return
    document = parse_json(str(path), read_file(path, str(path)))
    nested = document.data.get("deployment_server")
    inside: KeyPath = ("deployment_server",) if isinstance(nested, dict) else ()
    table = nested if isinstance(nested, dict) else document.data
    ours = [key for key in table if key in _LEGACY_KEYS and table[key] is not None]
    yield _file(path, cwd, document, {_LEGACY_KEYS[key]: (*inside, key) for key in ours})


def _file(path: Path, base: Path, document: Document, keys: Mapping[str, KeyPath]) -> Layer:
    def value_of(at: KeyPath) -> JsonValue:
        value: JsonValue = document.data
        for part in at:
            value = value[part] if isinstance(value, dict) and isinstance(part, str) else None
        return value

    def blame(key: str, words: str) -> Problem:
        return document.problems([Fault(path=keys[key], message=words)])[0]

    values = {key: value_of(at) for key, at in keys.items()}
    return Layer(base, values, lambda _: str(path), blame)


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{shown(value)}"' if isinstance(value, str) else shown(str(value))


def _text(value: object) -> str:
    text = str(value) if isinstance(value, str | Path) else ""
    if not text or "\0" in text:
        raise ValueError("a path")
    return text


def _host(value: object) -> str:
    """An address or name to listen at; the source system's `localhost` is IPv4's."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:%\[\]-]+", value):
        raise ValueError("an address or a host name")
    name = value.strip("[]")
    return "127.0.0.1" if name.lower() == "localhost" else name


def _port(value: object) -> int:
    number = _number(value)
    if not 1024 <= number <= 65535:
        raise ValueError("a port (1024-65535)")
    return number


def _count(value: object) -> int:
    number = _number(value)
    if number < 1:
        raise ValueError("a whole number of 1 or more")
    return number


def _number(value: object) -> int:
    """The number, or -1 for what is none; true is none."""
    text = "" if isinstance(value, bool | float) else str(value)
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1


def _auth(value: object) -> str:
    if value not in ("token", "none"):
        raise ValueError('"token" or "none"')
    return str(value)


def _names(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with commas as the environment has it."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    try:
        return msgspec.convert(value, tuple[str, ...])
    except msgspec.ValidationError as error:
        raise ValueError("an array of strings") from error


_PATHS = frozenset({"agents_dir", "recipes_dir", "state_dir", "slurm_rest"})
_READERS: Mapping[str, Callable[[object], object]] = {
    "agents_dir": _text,
    "recipes_dir": _text,
    "host": _host,
    "api_port": _port,
    "base_port": _port,
    "state_dir": _text,
    "auth": _auth,
    "max_agents": _count,
    "keep_runs": _count,
    "keep_runs_days": _count,
    "slurm_rest": _text,
    "allowed_hosts": _names,
    "allowed_origins": _names,
}


def _placed(value: object, base: Path, home: Path) -> Path:
    """An absolute path: `~` is the home directory, a relative one starts at `base`."""
    first, _, rest = str(value).partition("/")
    return home / rest if first == "~" else base / str(value)


def _check_reach(settings: Settings) -> None:
    if settings.auth == "none" and not is_loopback(settings.host):
        where, auth = (settings.origins.get(key, f"--{key}") for key in ("host", "auth"))
        given = "--auth none" if auth == "--auth" else f'auth "none" of {auth}'
        message = f"{settings.host}: a bind address other than loopback needs a token"
        hint = f"drop {given}, or use --host 127.0.0.1"
        raise ConfigError(Problem(file=where, message=message, hint=hint))
