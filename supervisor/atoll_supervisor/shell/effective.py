"""What an agent runs with, as one checksum: while it stays the same nothing is restarted.

It is made of meanings, not of spellings: the parsed manifest with its defaults
and expanded variables, the back end that was chosen, the content of every file
that the manifest names, the variables it asks for. A comment, white space, the
order of keys and what only the daemon acts on do not count. Secrets go into the
hash and nowhere else.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from atoll.adapters.choose import Choice
from atoll.config.document import read_file
from atoll.config.llm_defaults import LlmDefaults, filled
from atoll.config.load import Loaded
from atoll.config.manifest import Deployment, Manifest
from atoll.errors import ConfigError
from atoll_supervisor.shell.remember import Memory, mark_of
from atoll_supervisor.shell.watched import NOISE

Value = TypeVar("Value")

DEEPEST, MOST = 4, 500
"""Folders below the tools' own, and modules, that are looked through for one agent."""
LONGEST = 16 * 1024 * 1024
"""Bytes of a file that are read; one that is longer counts by its size and time."""


def checksum_of(
    loaded: Loaded, choice: Choice, defaults: LlmDefaults, environ: Mapping[str, str], files: str
) -> str:
    """SHA-256, hexadecimal. `environ` holds the variables that matter, `files` is `Files.of`."""
    manifest = _acted_on(loaded.manifest)
    if choice.backend == "ollama":
        manifest = replace(manifest, llm=filled(manifest.llm, defaults, loaded.given))
    chosen = (choice.backend, choice.model, choice.base_url, str(choice.gguf or ""))
    meaning = (str(loaded.path), manifest, chosen, sorted(environ.items()), files)
    # The repr of a Struct holds its defaults too; ascii() takes text that is no UTF-8 as well.
    return hashlib.sha256(ascii(meaning).encode()).hexdigest()


def _acted_on(manifest: Manifest) -> Manifest:
    """Without what only the daemon acts on, at any moment; tables in the order of their keys."""
    usual = Deployment()
    deployment = replace(
        manifest.deployment,
        restart=usual.restart,
        max_restarts=usual.max_restarts,
        restart_window=usual.restart_window,
        restart_delay=usual.restart_delay,
        start_timeout=usual.start_timeout,
        idle_timeout=usual.idle_timeout,
        health_check_interval=usual.health_check_interval,
    )
    servers = {
        name: replace(server, env=_sorted(server.env), headers=_sorted(server.headers))
        for name, server in manifest.mcp_servers.items()
    }
    return replace(
        manifest,
        deployment=deployment,
        mcp_servers=_sorted(servers),
        sub_agents=_sorted(manifest.sub_agents),
    )


def _sorted(table: Mapping[str, Value]) -> dict[str, Value]:
    return dict(sorted(table.items()))


class Files:
    """The content of the files that manifests name, read again only when one has changed."""

    def __init__(self) -> None:
        self._known: Memory[str] = Memory()

    def of(self, agents: Iterable[Loaded]) -> list[str]:
        """For each agent one hash of all of its files; "" when it has none."""
        used: set[str] = set()
        hashes = [self._hash(sorted(_named(loaded)), used) for loaded in agents]
        self._known.retain(used)
        return hashes

    def _hash(self, paths: Iterable[str], used: set[str]) -> str:
        contents = [(path, content) for path in paths if (content := self._content(path))]
        used.update(path for path, _ in contents)
        return hashlib.sha256(ascii(contents).encode()).hexdigest() if contents else ""

    def _content(self, path: str) -> str:
        """The hash of a regular file; "" for anything else, also for one we may not read."""
        mark = mark_of(path, follow=True)
        if mark is None:
            return ""
        known = self._known.recall(path, (mark,))
        if known is not None:
            return known
        if mark.size > LONGEST:
            return f"{mark.size} {mark.mtime_ns}"
        try:
            content = hashlib.sha256(read_file(Path(path), path, LONGEST)).hexdigest()
        except ConfigError:
            content = ""
        return self._known.keep(path, (mark,), content)


def _named(loaded: Loaded) -> set[str]:
    """The paths of the files, as text. tools.py may import any module that lies beside it."""
    manifest, folder = loaded.manifest, os.path.dirname(loaded.path)  # noqa: PTH120
    env_files = (server.env_file for server in manifest.mcp_servers.values())
    names = ("mcp.json", manifest.llm.script, manifest.tools.python, *env_files)
    paths = {os.path.join(folder, name) for name in names if name}  # noqa: PTH118
    if manifest.tools.python:
        tools = os.path.join(folder, manifest.tools.python)  # noqa: PTH118
        paths.update(islice(_modules(os.path.dirname(tools), DEEPEST), MOST))  # noqa: PTH120
    return paths


def _modules(folder: str, levels: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return
    if any(entry.name == "pyvenv.cfg" for entry in found):
        return
    for entry in found:
        if entry.name.endswith(".py"):
            yield entry.path
        elif levels and entry.name not in NOISE and entry.is_dir(follow_symlinks=False):
            yield from _modules(entry.path, levels - 1)
