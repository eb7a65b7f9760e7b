"""One server for the life of the agent: connected, looked at, called, connected again."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

from mcp_types import CallToolResult, Tool

from atoll.adapters.mcp.backoff import Backoff
from atoll.adapters.mcp.link import ENDED, Link, Lost
from atoll.adapters.mcp.offers import offers_of
from atoll.adapters.mcp.pins import Offer, Pins
from atoll.adapters.mcp.reasons import is_closed, is_session_over, reason_of
from atoll.adapters.mcp.relay import Say
from atoll.adapters.mcp.results import outcome_of
from atoll.adapters.mcp.session import Session
from atoll.ports import Outcome
from atoll.wire.json import JsonObject

START_LIMIT = 10.0
"""Seconds for which an agent's start waits for its servers (the source page's)."""
LOOK_AGAIN = 60.0
"""Seconds between two looks at the tools of a server that tells no change."""
LOOK_PAUSE = 1.0
"""Seconds between two looks however often it tells one."""
RECONNECT_WAIT = 3.0
"""Seconds for which a call waits for a server that is being connected again."""
CLOSE_STEP = 4.0
"""Seconds for one piece of a good-bye; a process is killed after less."""

Connect = Callable[[Link], AbstractAsyncContextManager[Session]]


class ToolServer:
    """Keeps one server connected; `timeout` in seconds bounds a call, and with it a start.

    Whatever the server does ends in a sentence to `say`, a failed Outcome, and
    another try after a pause.
    """

    def __init__(
        self, name: str, connect: Connect, timeout: float, max_chars: int, say: Say
    ) -> None:
        self.name = name
        self._connect = connect
        self._timeout = timeout
        self._max_chars = max_chars
        self._say = say
        self._pins = Pins()
        self._link = Link()
        self._session: Session | None = None
        self._trouble = "it has not answered yet"
        self._told = ""
        self._up = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[CallToolResult]] = set()
        self._closing = False

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The tools that exist for the model, those of a server that is away included."""
        return self._pins.usable

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with it now."""
        down = (f"does not work: {self._trouble}",) if self._trouble else ()
        changed = tuple(
            f"changed its tool {name} after the agent had started: it is refused"
            for name in self._pins.changed
        )
        return tuple(f"MCP server {self.name} {words}" for words in (*down, *changed))

    async def start(self) -> None:
        """Begin to connect, and wait until that is done or has failed for the first time."""
        self._task = asyncio.create_task(self._keep(), name=f"mcp {self.name}")
        try:
            async with asyncio.timeout(START_LIMIT):
                await self._settled.wait()
        except TimeoutError:
            self._tell(f"did not start within {START_LIMIT:g} s; the agent goes on without it")

    async def close(self) -> None:
        """End the connection, and the process where there is one.

        A server may hold up the good-bye; whatever is waited for then is cut short.
        """
        self._closing = True
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_STEP)

    async def call(self, tool: str, arguments: JsonObject) -> Outcome:
        """Call a tool; every fault of the server comes back as a failed Outcome.

        A call that the server refused unseen, for it forgot our session, is made again.
        """
        try:
            return await self._called(tool, arguments)
        except Exception as error:  # noqa: BLE001  a fault is a result, not a crash
            self._doubt(error)
            if not is_session_over(error):
                return self._failed(tool, error)
        try:
            return await self._called(tool, arguments)
        except Exception as error:  # noqa: BLE001  as above
            self._doubt(error)
            return self._failed(tool, error)

    async def _called(self, tool: str, arguments: JsonObject) -> Outcome:
        self._check(tool)
        session = await self._connection()
        self._check(tool)  # a server that was connected again may have changed it
        async with asyncio.timeout(self._timeout):
            result = await self._let_go(session.call(tool, arguments))
        return outcome_of(result, self._max_chars)

    async def _let_go(self, work: Coroutine[object, object, CallToolResult]) -> CallToolResult:
        """Await it; who gives up does not wait while the SDK tells a server that hears nothing."""
        task = asyncio.create_task(work)
        self._calls.add(task)  # asyncio itself holds tasks weakly
        task.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # not we, but the connection, in the middle of the call
                raise Lost(ENDED) from None
            task.cancel()
            raise

    def _check(self, tool: str) -> None:
        if refusal := self._pins.refusal(tool):
            raise Lost(refusal)

    def _failed(self, tool: str, error: Exception) -> Outcome:
        if isinstance(error, TimeoutError):
            text = f"{self.name}.{tool} did not finish within {self._timeout:g} s"
        else:
            text = f"{self.name}.{tool} failed: {reason_of(error)}"
        return Outcome(text, failed=True)

    def _doubt(self, error: Exception) -> None:
        """Look whether the server still lives; when it is certain that it does not, give it up."""
        if is_session_over(error):
            self._link.note("it forgot our session")
        elif is_closed(error):
            self._link.end()
        elif isinstance(error, TimeoutError):
            self._link.stirred.set()

    async def _connection(self) -> Session:
        """The connection that is up now or within `RECONNECT_WAIT` seconds; raises Lost."""
        if self._link.over:
            self._up.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_WAIT):
                await self._up.wait()
        if self._session is None or not self._up.is_set():
            raise Lost(f"the server does not work: {self._trouble or self._link.reason}")
        return self._session

    async def _keep(self) -> None:
        backoff = Backoff()
        while True:
            began = time.monotonic()
            trouble = await self._live()
            if self._closing:  # a connection that just breaks may swallow the cancellation
                return
            lived = time.monotonic() - began if self._session else 0.0
            self._session = None
            self._up.clear()
            self._trouble = trouble
            self._tell(f"does not work: {trouble}")
            if pause := backoff.after(lived):  # the first try after a failure is still waited for
                self._settled.set()
            await asyncio.sleep(pause)

    async def _live(self) -> str:
        """One connection from its beginning to its end, and why it ended."""
        link = Link()
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(max(START_LIMIT, self._timeout)):
                    session = await stack.enter_async_context(self._connect(link))
                    tools = await session.tools()
                self._begin(session, link, tools)
                await self._watch(session, link)
        except Exception as error:  # noqa: BLE001  whatever a foreign server makes of the SDK
            return link.reason or reason_of(error)
        return link.reason or ENDED

    def _begin(self, session: Session, link: Link, tools: list[Tool]) -> None:
        self._look(tools)
        self._session, self._link, self._trouble = session, link, ""
        self._tell(f"is connected, protocol {session.era}, {len(self.offers)} tools")
        self._up.set()
        self._settled.set()

    async def _watch(self, session: Session, link: Link) -> None:
        """Until the connection is over: look at the tools when the server tells of a change."""
        while not link.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await link.stirred.wait()
            link.stirred.clear()
            if not link.over:
                async with asyncio.timeout(START_LIMIT):
                    self._look(await session.tools())
                await asyncio.sleep(LOOK_PAUSE)

    def _look(self, tools: list[Tool]) -> None:
        offers, unfit = offers_of(tools)
        for sentence in (*self._pins.look(offers), *(unfit if not self._settled.is_set() else ())):
            self._say(f"MCP server {self.name} {sentence}")

    def _tell(self, sentence: str) -> None:
        """Say it, unless it was the last thing that was said: a server is tried for ever."""
        if sentence != self._told:
            self._told = sentence
            self._say(f"MCP server {self.name} {sentence}")
