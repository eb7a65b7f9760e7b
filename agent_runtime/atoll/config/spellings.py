"""The source systems' other spellings of manifest keys, put into ours before validation.

seeds-contract section 6: all spellings of 1.1 load, DESIGN's is the documented
one. Each rewrite is noted, so that a mistake is shown where the person wrote it.
"""

from collections.abc import Mapping

from msgspec import Struct

from atoll.config.document import Fault
from atoll.config.expand import reference
from atoll.config.positions import Path
from atoll.wire.json import JsonObject, JsonValue

MCP_SPELLINGS: Mapping[str, str] = {
    "transport": "type",
    "timeout": "timeout_seconds",
    "timeoutSeconds": "timeout_seconds",
    "envFile": "env_file",
}
_RESTART: Mapping[bool, JsonValue] = {True: "on-failure", False: "never"}


class Respelled(Struct, frozen=True):
    """A document in our spelling, where each renamed key came from, and what cannot be renamed."""

    data: JsonObject
    origins: dict[Path, Path]
    faults: list[Fault]


def respelled(data: JsonObject, servers: str = "mcp_servers") -> Respelled:
    """A copy in our spelling; `servers` is the table of the MCP servers."""
    done = Respelled(dict(data), {}, [])
    for name, server in _rows(done.data, servers):
        _rename(server, (servers, name), done)
    for name, child in _rows(done.data, "sub_agents"):
        _hide_token(child, ("sub_agents", name), done)
    _rehome_interval(done)
    deployment = done.data.get("deployment")
    if isinstance(deployment, dict):
        done.data["deployment"] = copy = dict(deployment)
        _read_auto_restart(copy, done)
    return done


def _rows(data: JsonObject, table: str) -> list[tuple[str, JsonObject]]:
    """The tables in a table, each as a copy that may be changed in place."""
    found = data.get(table)
    if not isinstance(found, dict):
        return []
    copies = {name: dict(row) for name, row in found.items() if isinstance(row, dict)}
    data[table] = {**found, **copies}
    return list(copies.items())


def _rename(server: JsonObject, path: Path, done: Respelled) -> None:
    for key in [key for key in server if key in MCP_SPELLINGS]:
        _move(server, key, MCP_SPELLINGS[key], path, done)


def _hide_token(child: JsonObject, path: Path, done: Respelled) -> None:
    """`auth_token` names a variable, or is a secret in a file that is shared."""
    token = child.get("auth_token")
    if isinstance(token, str) and (variable := reference(token)):
        child["auth_token"] = variable
        _move(child, "auth_token", "auth_token_env", path, done)
    elif child.pop("auth_token", None) is not None:
        message = "`auth_token`: a secret must not stand in a manifest"
        hint = 'put it into a variable and name that one: `auth_token_env = "CHILD_TOKEN"`'
        at = (*path, "auth_token")
        done.faults.append(Fault(path=at, message=message, hint=hint, at_key=True))


def _rehome_interval(done: Respelled) -> None:
    """`resources.health_check_interval` of the source's example is the deployment's."""
    key = "health_check_interval"
    resources, deployment = done.data.get("resources"), done.data.get("deployment", {})
    if not isinstance(resources, dict) or key not in resources or not isinstance(deployment, dict):
        return
    value = resources[key]
    done.data["resources"] = {name: kept for name, kept in resources.items() if name != key}
    if deployment.get(key) is not None:
        message = f"`{key}` says the same as `deployment.{key}`"
        at: Path = ("resources", key)
        done.faults.append(Fault(path=at, message=message, hint="keep the latter", at_key=True))
    else:
        done.data["deployment"] = {**deployment, key: value}
        done.origins["deployment", key] = ("resources", key)


def _read_auto_restart(deployment: JsonObject, done: Respelled) -> None:
    """`auto_restart` true or false is `restart` on-failure or never."""
    value = deployment.get("auto_restart")
    if value is None:
        return
    path: Path = ("deployment", "auto_restart")
    if isinstance(value, bool):
        deployment["auto_restart"] = _RESTART[value]
        _move(deployment, "auto_restart", "restart", path[:1], done)
    else:
        del deployment["auto_restart"]
        hint = 'better: `restart = "on-failure"`'
        done.faults.append(Fault(path=path, message="expected true or false", hint=hint))


def _move(table: JsonObject, old: str, new: str, path: Path, done: Respelled) -> None:
    """Rename a key; the same thing said twice is a mistake."""
    value = table.pop(old)
    if new in table:
        message = f"`{old}` says the same as another key of this table"
        hint = f"keep `{new}` alone"
        done.faults.append(Fault(path=(*path, old), message=message, hint=hint, at_key=True))
    else:
        table[new] = value
        done.origins[*path, new] = (*path, old)
