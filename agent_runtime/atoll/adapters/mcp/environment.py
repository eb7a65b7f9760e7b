"""The variables of a server that we start: what its table names, PATH and HOME, nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from atoll.config.document import read_file
from atoll.config.expand import is_variable
from atoll.config.manifest import McpServer
from atoll.config.rules import changes_code
from atoll.errors import ConfigError, Problem

ALWAYS = ("PATH", "HOME")


def environment(server: McpServer, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment; `env` wins over `env_file`, and both over what is ours.

    Raises ConfigError with the line for a file that cannot be read or is wrong.
    """
    ours = {name: environ[name] for name in ALWAYS if name in environ}
    file = dict(_variables(folder / server.env_file)) if server.env_file else {}
    return {**ours, **file, **server.env}


def _variables(path: Path) -> Iterator[tuple[str, str]]:
    """`NAME=value` lines, as systemd and docker read them: no expansion, `#` begins a comment."""
    text = read_file(path, str(path)).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().removeprefix("export ")
        if not words or words.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in words.partition("="))
        if not equals or not is_variable(name):
            raise _wrong(path, number, "expected NAME=value")
        if changes_code(name):
            raise _wrong(path, number, f"`{name}` would change what code the server runs")
        yield name, _unquoted(value)


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _wrong(path: Path, line: int, message: str) -> ConfigError:
    return ConfigError(Problem(file=str(path), message=message, line=line, column=1))
