"""A namespace that lasts for a session: code in, outcomes out, one step after the other."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from atoll.adapters.sandbox.frames import Answer, Ask, Done, Run
from atoll.adapters.sandbox.process import Gone, Worker
from atoll.adapters.sandbox.sequence import Sequence
from atoll.adapters.sandbox.watch import Watch
from atoll.errors import AtollError
from atoll.ports import CodeHost, CodeOutcome

GRACE = 1.0
"""Seconds between an interrupt and the end of code that does not heed it."""
ASKS_IN_VAIN = 20
"""Questions over the budget after which the code is ended instead of answered."""


class Space:
    """The CodeSpace over a worker; `fresh` begins a worker anew when one was lost."""

    def __init__(
        self, worker: Worker, fresh: Callable[[], Awaitable[Worker]], watch: Watch
    ) -> None:
        self._worker: Worker | None = worker
        self._fresh = fresh
        self._watch = watch
        self._steps = Sequence()
        self._step: _Step | None = None
        self._closed = False

    async def run(self, code: str, host: CodeHost) -> CodeOutcome:
        """Run the code after whatever was asked to run before.

        Cancelling the caller interrupts the code; the namespace stays.
        """
        mine = self._steps.add(lambda: self._run(code, host))
        try:
            return await asyncio.shield(mine)
        except asyncio.CancelledError:
            if self._step is not None and self._step.task is mine:
                self._step.stop("it was interrupted")
            else:
                mine.cancel()
            raise

    def interrupt(self) -> None:
        """Stop the code that runs now, if any."""
        if self._step is not None:
            self._step.stop("it was interrupted")

    async def close(self) -> None:
        """End the worker, whatever it does."""
        self._closed = True
        if self._worker is not None:
            self._worker.kill("it was closed")
        await self._steps.end()
        if self._worker is not None:
            await self._worker.close()
            self._worker = None

    async def _run(self, code: str, host: CodeHost) -> CodeOutcome:
        if self._closed:
            return CodeOutcome(error="the sandbox was closed", lost=True)
        if self._worker is None:
            self._worker = await self._fresh()
        worker = self._worker
        self._step = _Step(worker, host, self._watch)
        try:
            return await self._step.run(code)
        except Gone as gone:
            self._worker = None
            await worker.close()
            return CodeOutcome(error=f"the sandbox ended: {gone}", lost=True)
        finally:
            self._step = None


class _Step:
    """One piece of code, from its start to its outcome or the worker's end."""

    def __init__(self, worker: Worker, host: CodeHost, watch: Watch) -> None:
        self.task = asyncio.current_task()
        self._worker = worker
        self._host = host
        self._watch = watch
        self._id = secrets.token_hex(8)
        self._asking: set[asyncio.Task[None]] = set()
        self._why = ""
        self._timers: list[asyncio.TimerHandle] = []
        self._in_vain = 0

    async def run(self, code: str) -> CodeOutcome:
        """The outcome; raises Gone when the worker is lost on the way."""
        watching = asyncio.create_task(self._watch.over(self._worker))
        self._later(self._watch.seconds, self.stop, f"it took over {self._watch.seconds:g} s")
        try:
            self._worker.resume()
            self._worker.send(Run(self._id, code))
            done = await self._done()
        finally:
            for timer in self._timers:
                timer.cancel()
            helpers = {watching, *self._asking}
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
            self._worker.pause()
        self._worker.check()
        return self._told(done)

    def stop(self, why: str) -> None:
        """Interrupt the code; end it when it does not heed that."""
        if not self._why:
            self._why = why
            self._worker.interrupt()
            self._later(GRACE, self._worker.kill, f"{why} and did not heed the interrupt")

    async def _done(self) -> Done:
        while True:
            said = await self._worker.receive()
            match said:
                case Done() if said.id == self._id:
                    return said
                case Ask() if said.id == self._id:
                    self._ask(said)
                case _:  # a word of another step, or made up
                    self._worker.kill("it spoke out of turn")
                    self._worker.check()

    def _ask(self, ask: Ask) -> None:
        task = asyncio.create_task(self._answer(ask))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, ask: Ask) -> None:
        try:
            texts = await self._host.ask(ask.prompts)
        except AtollError as error:
            self._in_vain += 1
            if self._in_vain > ASKS_IN_VAIN:
                self._worker.kill("it went on asking the model in vain")
            self._worker.send(Answer(ask.number, error=str(error)))
        except Exception as error:  # noqa: BLE001  a fault of ours must not leave the code waiting
            self._worker.send(Answer(ask.number, error=f"no answer: {type(error).__name__}"))
        else:
            self._worker.send(Answer(ask.number, tuple(texts)))

    def _told(self, done: Done) -> CodeOutcome:
        error = f"{done.error}\n({self._why}; the variables are kept)" if self._why else done.error
        return CodeOutcome(
            output=done.output, value=done.value, error=error, submitted=done.submitted
        )

    def _later(self, seconds: float, action: Callable[[str], None], why: str) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action, why))
