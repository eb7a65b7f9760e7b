"""An in-memory Fleet: rows in a dictionary, log files in a folder, actions recorded."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from atoll.config.names import slug_of, without_tag
from atoll.errors import NotFound
from atoll_supervisor.core.row import LastExit, Row, Status


def row_of(name: str, status: Status = "running", port: int | None = 8100, **more: object) -> Row:
    """A row of an agent that is as ordinary as can be."""
    alive = status == "running"
    fields: dict[str, object] = {
        "name": name,
        "slug": slug_of(name),
        "status": status,
        "phase": status,
        "reason": "",
        "port": port,
        "pid": 4321 if alive else None,
        "url": f"http://127.0.0.1:{port}" if port else None,
        "model": "smollm2:135m",
        "backend": "local",
        "version": "1.0.0",
        "description": "An agent of the tests",
        "capabilities": ("testing",),
        "restarts": 2,
        "started_at": "2026-11-21T10:00:00+00:00" if alive else None,
        "uptime_s": 3725.0 if alive else None,
        "last_exit": None,
        "config_error": None,
        "cpu_percent": 1.5 if alive else None,
        "rss_bytes": 50_000_000 if alive else None,
        "in_flight": 0,
        "config_path": f"/fleet/{slug_of(name)}/agent.toml",
        "checksum": "0" * 64,
        "generation": 1,
        "instance_id": "abc" if alive else None,
        "limits": {},
    }
    return msgspec.convert(fields | more, Row)


CRASHED = LastExit(code=1, signal=None, reason="exit 1", at="2026-11-21T10:00:00+00:00")


class MemoryFleet:
    """A Fleet (atoll_supervisor.ports) that runs nothing and remembers what it was asked.

    `calls` holds (verb, slug, wait). An agent whose slug is in `stubborn`
    comes out of start and restart as failed; in `kept`, its old process outlives a restart.
    """

    def __init__(self, logs: Path, *rows: Row) -> None:
        self.uptime = 60.0
        self.degraded = ""
        self.calls: list[tuple[str, str, bool]] = []
        self.stubborn: set[str] = set()
        self.kept: set[str] = set()
        self._logs = logs
        self._rows = {row.slug: row for row in rows}

    def put(self, row: Row) -> None:
        """Let the agent be as this row says."""
        self._rows[row.slug] = row

    def remove(self, slug: str) -> None:
        """Let there be no such agent any more."""
        del self._rows[slug]

    def rows(self) -> Sequence[Row]:
        return [self._rows[slug] for slug in sorted(self._rows)]

    def row(self, name: str) -> Row:
        try:
            return self._rows[slug_of(without_tag(name))]
        except KeyError:
            raise NotFound(f"no agent {name}") from None

    async def start(self, name: str, *, wait: bool = True) -> Row:
        return self._change("start", name, wait, "running")

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        return self._change("stop", name, wait, "stopped")

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        row = self._change("restart", name, wait, "running")
        if row.slug in self.kept:
            row = replace(row, reason="the new process did not start: exit 1")
        else:
            row = replace(row, generation=row.generation + 1)
        self._rows[row.slug] = row
        return row

    def log_file(self, name: str) -> Path:
        return self._logs / f"{self.row(name).slug}.log"

    def _change(self, verb: str, name: str, wait: bool, status: Status) -> Row:
        row = self.row(name)
        self.calls.append((verb, row.slug, wait))
        if status == "running" and row.slug in self.stubborn:
            row = replace(row, status="failed", phase="failed", reason="exit 1", last_exit=CRASHED)
        elif wait:
            row = replace(row, status=status, phase=status)
        self._rows[row.slug] = row
        return row
