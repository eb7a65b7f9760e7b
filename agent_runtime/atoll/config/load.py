"""Reads one manifest: bytes in, a `Loaded` or every mistake with its place out."""

import hashlib
from collections.abc import Mapping
from pathlib import Path as FilePath

import msgspec
from msgspec import Struct

from atoll.config.document import Document, Fault, is_there, parse_json, parse_toml, read_file
from atoll.config.environ import filled
from atoll.config.legacy import lifted, mcp_document, old_keys
from atoll.config.manifest import Manifest
from atoll.config.positions import Path
from atoll.config.rules import rule_faults, table_of
from atoll.config.spellings import Respelled, respelled
from atoll.config.validate import Validated, validated
from atoll.errors import ConfigError, Problem


class Loaded(Struct, frozen=True, kw_only=True):
    """A manifest that was read.

    `checksum` is the SHA-256 of the file's bytes, hexadecimal. `given` are the
    dotted paths of the keys that the file really sets, in our spelling.
    `variables` are the environment's variables that the manifest names: its
    process needs them, and no others.
    """

    manifest: Manifest
    path: FilePath
    checksum: str
    given: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()


def load_manifest(path: FilePath, environ: Mapping[str, str]) -> Loaded:
    """Read `agent.toml` or a legacy `agent.json`; raises ConfigError with every mistake."""
    data = read_file(path, path.name)
    read = _agent_json if path.suffix == ".json" else _agent_toml
    found = read(path, data, environ)
    manifest = filled(msgspec.convert(found.data, Manifest), found.given, environ)
    return Loaded(
        manifest=manifest,
        path=path,
        checksum=hashlib.sha256(data).hexdigest(),
        given=found.given,
        variables=found.variables | _secrets_of(manifest),
    )


def problem_at(path: FilePath, key: Path, message: str, hint: str) -> Problem:
    """A mistake that only shows beside other files, at the place of a key of a good manifest."""
    data = read_file(path, path.name)
    if path.suffix == ".json":
        document = parse_json(path.name, data)
        origins = lifted(document.data).origins
    else:
        document = parse_toml(path.name, data)
        origins = respelled(document.data).origins
    return document.problems([Fault(path=key, message=message, hint=hint)], origins)[0]


def _agent_toml(path: FilePath, data: bytes, environ: Mapping[str, str]) -> Validated:
    document = parse_toml(path.name, data)
    found, problems = _checked(document, respelled(document.data), environ)
    if problems:
        raise ConfigError(*problems)
    return found


def _agent_json(path: FilePath, data: bytes, environ: Mapping[str, str]) -> Validated:
    """The legacy file and its sibling `mcp.json`; what the first one says of a server wins."""
    document = parse_json(path.name, data)
    found, problems = _checked(document, lifted(document.data), environ)
    try:
        beside = _beside(path.with_name("mcp.json"), environ)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from error
    if problems:
        raise ConfigError(*problems)
    servers = table_of(beside.data, "servers") | table_of(found.data, "mcp_servers")
    given = {key.replace("servers", "mcp_servers", 1) for key in beside.given}
    return Validated(
        data={**found.data, "mcp_servers": servers},
        faults=(),
        given=found.given | given | old_keys(document.data),
        variables=found.variables | beside.variables,
    )


def _beside(path: FilePath, environ: Mapping[str, str]) -> Validated:
    return mcp_document(path, environ) if is_there(path) else Validated()


def _checked(
    document: Document, written: Respelled, environ: Mapping[str, str]
) -> tuple[Validated, list[Problem]]:
    found = validated(written.data, Manifest, environ)
    faults = [*written.faults, *found.faults, *rule_faults(found.data)]
    return found, document.problems(faults, written.origins)


def _secrets_of(manifest: Manifest) -> frozenset[str]:
    """The variables that hold keys and tokens, which the manifest names without a `$`."""
    tokens = (child.auth_token_env for child in manifest.sub_agents.values())
    return frozenset(name for name in (manifest.llm.api_key_env, *tokens) if name)
