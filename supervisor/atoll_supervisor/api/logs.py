"""`GET /api/v1/agents/{name}/logs`: what an agent printed, and what it prints next.

Plain text as in the file by default; with `Accept: application/x-ndjson` one
JSON object a line. Whatever the agent printed, a line is one line and holds no
control character when it leaves here (attacks.md S35, S36).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter, SkipValidation
from litestar.response import Stream

from atoll_supervisor.api.agents import AgentName, AnyFleet, known
from atoll_supervisor.api.auth import BY_TOKEN
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.core.logline import parse_line
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.shell import tail as log_tail

NDJSON = "application/x-ndjson"
MOST_LINES = 100_000
AT_ONCE = 200
"""Lines that are made ready in one go; between two, other requests get their turn."""

Render = Callable[[str], bytes]
Leaving = NamedDependency[SkipValidation[asyncio.Event]]
TailOf = Annotated[int, Parameter(ge=0, le=MOST_LINES, description="The last lines to begin with")]
Follow = Annotated[bool, Parameter(description="true: go on with every new line")]

_encode = msgspec.json.Encoder().encode


@get(
    "/api/v1/agents/{name:str}/logs",
    operation_id="read_logs",
    tags=["agents"],
    security=BY_TOKEN,
    responses={
        200: ResponseSpec(str, description="The lines", media_type="text/plain"),
        **described(400, 401, 404),
    },
    sync_to_thread=False,
)
def read_logs(
    request: AnyRequest,
    fleet: AnyFleet,
    leaving: Leaving,
    name: AgentName,
    tail: TailOf = 100,
    follow: Follow = False,
) -> Stream:
    """An agent's output; each line begins with its time and its stream, `out` or `err`.

    No more of the past is given than the last 8 MiB hold. Following ends when
    you leave, and when the daemon does.
    """
    path = fleet.log_file(known(fleet, name).slug)
    as_json = NDJSON in request.headers.get("accept", "")
    pieces = log_tail.follow(path, tail, leaving) if follow else _once(path, tail)
    return Stream(
        _rendered(pieces, _as_json if as_json else _as_text),
        media_type=NDJSON if as_json else "text/plain",
        headers={"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"},
    )


async def _once(path: Path, last: int) -> AsyncIterator[list[str]]:
    yield await asyncio.to_thread(log_tail.tail, path, last)


async def _rendered(pieces: AsyncIterator[list[str]], render: Render) -> AsyncIterator[bytes]:
    """The lines as bytes, off the loop: a hundred thousand of them take seconds."""
    async for lines in pieces:
        for first in range(0, len(lines), AT_ONCE):
            yield await asyncio.to_thread(_block, lines[first : first + AT_ONCE], render)


def _block(lines: Sequence[str], render: Render) -> bytes:
    return b"".join(map(render, lines))


def _as_text(line: str) -> bytes:
    return plain_line(line).encode() + b"\n"


def _as_json(line: str) -> bytes:
    parsed = parse_line(line)
    return _encode(msgspec.structs.replace(parsed, line=plain_line(parsed.line))) + b"\n"
