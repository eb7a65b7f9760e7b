"""`GET /api/v1/agents/{name}/logs`: what an agent printed, and what it prints next.

Plain text as in the file by default; with `Accept: application/x-ndjson` one
JSON object a line. Whatever the agent printed, a line is one line and holds no
control character when it leaves here (attacks.md S35, S36).
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from atoll_supervisor.api.agents import AgentName, AnyFleet, known
from atoll_supervisor.api.auth import BY_TOKEN
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.core.logline import parse_line
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.shell import tail as log_tail

NDJSON = "application/x-ndjson"
MOST_LINES = 100_000

Render = Callable[[str], bytes]
TailOf = Annotated[int, Parameter(ge=0, le=MOST_LINES, description="The last lines to begin with")]
Follow = Annotated[bool, Parameter(description="true: go on with every new line until you leave")]

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
    name: AgentName,
    tail: TailOf = 100,
    follow: Follow = False,
) -> Stream:
    """An agent's output; each line begins with its time and its stream, `out` or `err`."""
    path = fleet.log_file(known(fleet, name).slug)
    as_json = NDJSON in request.headers.get("accept", "")
    return Stream(
        _lines(path, tail, follow, _as_json if as_json else _as_text),
        media_type=NDJSON if as_json else "text/plain; charset=utf-8",
        headers={"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"},
    )


async def _lines(path: Path, last: int, on: bool, render: Render) -> AsyncIterator[bytes]:
    if not on:
        for line in log_tail.tail(path, last):
            yield render(line)
        return
    async for line in log_tail.follow(path, last):
        yield render(line)


def _as_text(line: str) -> bytes:
    return plain_line(line).encode() + b"\n"


def _as_json(line: str) -> bytes:
    parsed = parse_line(line)
    return _encode(msgspec.structs.replace(parsed, line=plain_line(parsed.line))) + b"\n"
