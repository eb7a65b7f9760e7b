"""The second CodeEngine: pydantic-monty, a subset of Python in Rust, where bubblewrap cannot be.

Each namespace is a session in a worker process of its own. The interpreter
knows no file, no network and no process; nothing but the interpreter keeps the
code in, which is said at the start. A running piece of code cannot be
interrupted: its process is ended, and the session goes on in another one from
the snapshot that was taken before that code.
"""

import asyncio
import os
import signal
from contextlib import suppress

from pydantic_monty import (
    AsyncMonty,
    AsyncMontySession,
    MontyCrashedError,
    MontyError,
    ResourceLimits,
)

from atoll.adapters.sandbox.command import Limits
from atoll.adapters.sandbox.monty_step import Step
from atoll.adapters.sandbox.sequence import Sequence
from atoll.errors import AgentError
from atoll.ports import CodeHost, CodeOutcome

_BEFORE = "the variables are as before this code"
CALLS = 100_000
"""Calls and looked-up names of one session's process, monty's own bound."""


class Monty:
    """Makes namespaces; `open_monty` starts it."""

    name = "pydantic-monty"
    language = "It is a subset of Python: no generators, few modules, no files, no network."
    unenforced = (
        "bubblewrap cannot be used: code runs in a subset of Python (pydantic-monty)",
        "nothing but that interpreter keeps the code from this machine",
    )

    def __init__(self, pool: AsyncMonty, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    async def open(self) -> "MontySpace":
        """An empty namespace; its process is taken when code comes."""
        return MontySpace(self._pool, self._limits)

    async def close(self) -> None:
        """End the processes that are kept ready."""
        await self._pool.__aexit__(None, None, None)


async def open_monty(limits: Limits) -> Monty:
    """The engine with its first process; raises AgentError when it does not start."""
    try:
        return Monty(await AsyncMonty(min_processes=1).__aenter__(), limits)
    except (MontyError, OSError, RuntimeError) as error:
        raise AgentError(f"pydantic-monty does not start: {error}") from error


class MontySpace:
    """The CodeSpace over a session."""

    def __init__(self, pool: AsyncMonty, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._steps = Sequence()
        self._session: AsyncMontySession | None = None
        self._snapshot: bytes | None = None
        self._task: asyncio.Task[CodeOutcome] | None = None
        self._running: int | None = None
        self._why = ""
        self._closed = False

    async def run(self, code: str, host: CodeHost) -> CodeOutcome:
        """Run the code after whatever was asked to run before."""
        mine = self._steps.add(lambda: self._run(code, host))
        try:
            return await asyncio.shield(mine)
        except asyncio.CancelledError:
            if self._task is mine:
                self.interrupt()
            else:
                mine.cancel()
            raise

    def interrupt(self) -> None:
        """End the process of the code that runs now; the variables stay as before that code."""
        self._stop("it was interrupted")

    async def close(self) -> None:
        """End the session."""
        self._closed = True
        self._stop("it was closed")
        await self._steps.end()
        await self._drop()

    async def _run(self, code: str, host: CodeHost) -> CodeOutcome:
        if self._closed:
            return CodeOutcome(error="the sandbox was closed", lost=True)
        session = await self._open()
        step = Step(session, host, self._limits.output, self._stop)
        self._why = ""
        self._task = asyncio.current_task()
        self._running = _descriptor_of(session)
        seconds = self._limits.seconds
        timer = asyncio.get_running_loop().call_later(
            seconds, self._stop, f"it took over {seconds:g} s"
        )
        try:
            outcome = await step.run(code)
            self._snapshot = await session.dump()
        except MontyCrashedError as error:
            await self._drop()
            return step.told(error=f"{self._why or error}; {_BEFORE}")
        except MontyError as error:  # the process ended by itself, of too much memory
            await self._drop()
            return step.told(error=f"{error}; {_BEFORE}")
        else:
            return outcome
        finally:
            timer.cancel()
            os.close(self._running)
            self._running = None

    def _stop(self, why: str) -> None:
        if self._running is not None:
            self._why = self._why or why
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._running, signal.SIGKILL)

    async def _open(self) -> AsyncMontySession:
        if self._session is None:
            limits: ResourceLimits = {"max_memory": self._limits.memory, "max_suspensions": CALLS}
            session = self._pool.checkout(limits=limits)
            try:
                self._session = await session.__aenter__()
                if self._snapshot is not None:
                    await self._session.load_session(self._snapshot)
            except (MontyError, RuntimeError) as error:
                raise AgentError(f"pydantic-monty does not go on: {error}") from error
        return self._session

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(MontyError, RuntimeError):
                await session.__aexit__(None, None, None)


def _descriptor_of(session: AsyncMontySession) -> int:
    """A descriptor of the session's process; monty tells its id only while nothing runs."""
    if session.worker_pid is None:
        raise AgentError("pydantic-monty has no process for this session")
    return os.pidfd_open(session.worker_pid)
