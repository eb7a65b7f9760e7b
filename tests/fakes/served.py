"""An ASGI application on a real socket of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from atoll.adapters.listening import listen, port_of
from atoll.http.asgi import AsgiApp
from atoll.http.guard import GuardRules
from atoll.http.serving import HttpServer
from atoll_supervisor.api.app import create_app
from atoll_supervisor.api.auth import Access
from atoll_supervisor.ports import Events, Runs
from tests.fakes.events import MemoryEvents
from tests.fakes.fleet import MemoryFleet, row_of
from tests.fakes.runs import NoRuns
from tests.fakes.services import NoServices
from tests.fakes.upkeep import MemoryUpkeep

TOKEN = "the-token-of-the-tests"


class Daemon(NamedTuple):
    """A management API that is being served."""

    url: str
    port: int
    fleet: MemoryFleet
    leaving: asyncio.Event


@asynccontextmanager
async def served(app: AsgiApp, port: int = 0) -> AsyncIterator[int]:
    """Serve `app` on a loopback port, which is given; a free one unless it is named."""
    sock = listen("127.0.0.1", port)
    port = port_of(sock)
    server = HttpServer(app, sock, stop_timeout=5.0)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            assert await server.started()
        yield port
    finally:
        server.leave()
        server.leave()  # the second time does not wait for idle connections
        async with asyncio.timeout(20):
            await serving


@asynccontextmanager
async def daemon(
    fleet: MemoryFleet,
    token: str | None = TOKEN,
    events: Events | None = None,
    port: int = 0,
    agent_token: str = "",
    runs: Runs | None = None,
) -> AsyncIterator[Daemon]:
    """Serve the management API of `fleet`; of no events when none are given."""
    rules = GuardRules(bind_host="127.0.0.1", same_origin_only=True)
    leaving = asyncio.Event()
    events = events or MemoryEvents()
    runs = runs or NoRuns()
    app = create_app(
        fleet,
        Access(token, agent_token),
        rules,
        "9.9.9",
        events=events,
        runs=runs,
        upkeep=MemoryUpkeep(),
        services=NoServices(),
        leaving=leaving,
    )
    async with served(app, port) as port:
        yield Daemon(f"http://127.0.0.1:{port}", port, fleet, leaving)


def log_line(second: int, text: str, stream: str = "out") -> str:
    """A line as the daemon writes it into a log file."""
    return f"2026-11-21T04:00:{second:02}.000Z {stream} {text}\n"


def make_fleet(folder: Path) -> MemoryFleet:
    """Two agents, one well and one failed, with a log each."""
    fleet = MemoryFleet(
        folder,
        row_of("GhidraAgent"),
        row_of("Custom Agent", status="failed", port=8101, reason="exit 1"),
    )
    fleet.log_file("GhidraAgent").write_text("".join(log_line(n, f"line {n}") for n in range(5)))
    fleet.log_file("custom-agent").write_text(log_line(2, "oh no", "err"))
    return fleet
