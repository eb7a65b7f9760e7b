"""The tool execute_code: the agent's own tools with a sandboxed Python beside them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from atoll.adapters.tool_text import cut, sendable
from atoll.errors import AtollError
from atoll.ports import CodeEngine, CodeHost, CodeOutcome, CodeSpace, Outcome, Spend, Toolbox
from atoll.wire.json import JsonObject
from atoll.wire.messages import Call, ToolSpec

NAME = "execute_code"
MOST_KEPT = 64
"""Namespaces of sessions kept at once; of those that rest, the one that rests longest goes."""

_ABOUT = (
    "Run Python 3 and get what it prints and the value of its last expression. Variables, "
    "functions and imports stay from call to call. {language} llm_query(text) and "
    "llm_query_batched(list of texts) ask a language model. SUBMIT(answer) ends the task with "
    "that answer."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python source code."}},
    "required": ["code"],
    "additionalProperties": False,
}


class CodeTools:
    """The CodeTurns over an engine.

    `rest` seconds after its last turn a session's namespace is closed; `host`
    makes what one turn's code may ask; a longer result than `most` characters
    is cut with a marker.
    """

    def __init__(
        self, engine: CodeEngine, host: Callable[[Spend], CodeHost], rest: float, most: int
    ) -> None:
        self._engine = engine
        self._spec = ToolSpec(NAME, _ABOUT.format(language=engine.language), _PARAMETERS)
        self._host = host
        self._rest = rest
        self._most = most
        self._kept: dict[str, _Namespace] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self, rest: Toolbox, session: str, spend: Spend) -> AsyncGenerator[Toolbox]:
        """The agent's tools and execute_code beside them, for one turn."""
        namespace = self._lend(session)
        try:
            yield _TurnTools(rest, self._spec, namespace, self._host(spend), self._most)
        finally:
            self._give_back(session, namespace)

    async def close(self) -> None:
        """End every namespace and the engine."""
        for namespace in self._kept.values():
            self._end(namespace)
        self._kept.clear()
        if self._closing:
            await asyncio.wait(self._closing)
        await self._engine.close()

    def _lend(self, session: str) -> "_Namespace":
        namespace = self._kept.pop(session, None) or _Namespace(self._engine)
        if session:
            self._kept[session] = namespace  # at the end: the order is that of the last use
        namespace.borrow()
        return namespace

    def _give_back(self, session: str, namespace: "_Namespace") -> None:
        namespace.users -= 1
        if not session:
            self._end(namespace)
        elif not namespace.users:
            loop = asyncio.get_running_loop()
            namespace.expiry = loop.call_later(self._rest, self._forget, session)
            self._make_room()

    def _make_room(self) -> None:
        resting = [session for session, kept in self._kept.items() if not kept.users]
        for session in resting[: max(0, len(self._kept) - MOST_KEPT)]:
            self._forget(session)

    def _forget(self, session: str) -> None:
        self._end(self._kept.pop(session))

    def _end(self, namespace: "_Namespace") -> None:
        task = asyncio.create_task(namespace.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Namespace:
    """A space that is opened when it is first needed."""

    def __init__(self, engine: CodeEngine) -> None:
        self.users = 0
        self.expiry: asyncio.TimerHandle | None = None
        self._engine = engine
        self._opening: asyncio.Task[CodeSpace] | None = None

    def borrow(self) -> None:
        """Count one more turn that uses it."""
        self.users += 1
        if self.expiry is not None:
            self.expiry.cancel()

    async def space(self) -> CodeSpace:
        """The space, opened once however many ask at once; raises AgentError."""
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.create_task(self._engine.open())
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close the space, if it was ever opened."""
        if self.expiry is not None:
            self.expiry.cancel()
        if self._opening is not None:
            with suppress(AtollError):
                await (await self._opening).close()


class _TurnTools:
    """The Toolbox of one turn."""

    def __init__(
        self, rest: Toolbox, spec: ToolSpec, namespace: _Namespace, host: CodeHost, most: int
    ) -> None:
        self._others = rest
        self._spec = spec
        self._namespace = namespace
        self._host = host
        self._most = most

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """execute_code after the agent's other tools."""
        return (*self._others.specs, self._spec)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the agent's other tools."""
        return tuple(self._others.warnings)

    async def close(self) -> None:
        """Nothing of one turn's own: tools and namespace are only lent."""

    async def call(self, call: Call) -> Outcome:
        """Run one tool; every fault of the code comes back as a failed Outcome."""
        if call.name != NAME:
            return await self._others.call(call)
        code = call.arguments.get("code")
        if not isinstance(code, str) or len(call.arguments) != 1:
            return Outcome(f"{NAME} takes one argument: code, a string", failed=True)
        try:
            outcome = await (await self._namespace.space()).run(sendable(code), self._host)
        except AtollError as error:
            return Outcome(f"{NAME} failed: {error}", failed=True)
        text = cut(_text(outcome), self._most)
        return Outcome(text, failed=bool(outcome.error), final=outcome.submitted)


def _failed(task: asyncio.Task[CodeSpace]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _text(outcome: CodeOutcome) -> str:
    """What the model reads: the output, the value, the error, each on lines of its own."""
    if outcome.submitted is not None:
        return outcome.submitted
    lost = "All variables are lost; the next code starts anew." if outcome.lost else ""
    parts = (outcome.output.rstrip("\n"), outcome.value, outcome.error, lost)
    return "\n".join(filter(None, parts)) or "(no output)"
