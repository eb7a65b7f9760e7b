"""Agents of a fleet that are no processes: a row, and a server that answers as the test says."""

import hashlib

from atoll_supervisor.core.row import Row
from tests.fakes.fleet import row_of
from tests.fakes.upstream import Upstream, whole

FAR, NEAR = "2026-11-21T12:30:00+00:00", "2026-11-21T12:05:00+00:00"


def agent_row(upstream: Upstream, name: str = "GhidraAgent", **fields: object) -> Row:
    """The row of the agent that this server plays."""
    return row_of(name, port=upstream.port, **fields)


def play(upstream: Upstream, slug: str = "ghidraagent", expires_at: str = NEAR) -> None:
    """Have the server tell what an agent tells of itself."""
    digest = hashlib.sha256(slug.encode()).hexdigest()
    details = {"format": "gguf", "family": "llama"}
    row = {"name": f"{slug}:latest", "model": f"{slug}:latest", "digest": digest}
    alias = {"name": "llama2:latest", "model": "llama2:latest", "digest": digest}
    info = {"general.architecture": "llama", "general.basename": "llama2"}
    upstream.on(
        "/api/tags",
        whole({"models": [{**row, "details": details}, {**alias, "details": details}]}),
    )
    upstream.on("/api/show", whole({"model_info": info, "capabilities": ["completion"]}))
    upstream.on("/api/ps", whole({"models": [{**row, "expires_at": expires_at}]}))


def asked(upstream: Upstream) -> list[str]:
    """The paths it was asked for so far."""
    return [request.path for request in upstream.requests]
