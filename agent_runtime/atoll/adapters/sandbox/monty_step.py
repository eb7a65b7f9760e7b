"""One piece of code in pydantic-monty: what it prints, asks and comes to."""

import json
from collections.abc import Callable
from typing import Literal, NoReturn

import msgspec
from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncMontySession,
    AsyncSnapshot,
    ExternalResult,
    MontyComplete,
    MontyRuntimeError,
    MontySyntaxError,
)

from atoll.errors import AtollError
from atoll.ports import CodeHost, CodeOutcome

SUBMIT, ASK, ASK_ALL = "SUBMIT", "llm_query", "llm_query_batched"
OURS: tuple[str, ...] = (SUBMIT, ASK, ASK_ALL)
ASKS_IN_VAIN = 20
"""Questions over the budget after which the code is ended instead of answered."""
_FLOOD = 20
"""So many times the output limit is a flood, and the code is ended."""


class Step:
    """Drives the code from one call of ours to the next; `stop` ends its process."""

    def __init__(
        self, session: AsyncMontySession, host: CodeHost, limit: int, stop: Callable[[str], None]
    ) -> None:
        self._session = session
        self._host = host
        self._limit = limit
        self._stop = stop
        self._printed: list[str] = []
        self._length = 0
        self._in_vain = 0
        self._submitted: str | None = None

    async def run(self, code: str) -> CodeOutcome:
        """The outcome; raises MontyCrashedError when the process was ended."""
        known: dict[str, object] = dict.fromkeys(OURS, _unreachable)
        try:
            state = await self._session.feed_start(
                code, external_lookup=known, print_callback=self._print
            )
            while not isinstance(state, MontyComplete):
                state = await self._next(state)
        except (MontyRuntimeError, MontySyntaxError) as error:
            return self.told(error="" if self._submitted is not None else error.display())
        value: object = state.output
        return self.told(value="" if value is None else repr(value))

    def told(self, value: str = "", error: str = "") -> CodeOutcome:
        """An outcome with what was printed up to now."""
        more = self._length - self._limit
        cut = f"\n[cut: {more} characters more]" if more > 0 else ""
        return CodeOutcome(
            output="".join(self._printed) + cut,
            value=value[: self._limit],
            error=error[: self._limit],
            submitted=self._submitted,
        )

    async def _next(self, state: AsyncSnapshot) -> AsyncSnapshot:
        """Answer what the code waits for: a call of ours, or something it may not have."""
        match state:
            case MontyComplete():
                return state
            case AsyncFunctionSnapshot(function_name=name) if name in OURS:
                return await state.resume(await self._answer(name, state.args))
            case _:
                return await state.resume_auto()

    async def _answer(self, name: str, given: tuple[object, ...]) -> ExternalResult:
        if len(given) != 1:
            return {"exception": TypeError(f"{name} takes one argument")}
        (argument,) = given
        if name == SUBMIT:
            text = argument if isinstance(argument, str) else json.dumps(argument, default=repr)
            self._submitted = text[: self._limit]
            return {"exception": RuntimeError("submitted")}
        if name == ASK:
            argument = [argument]
        return await self._asked(argument, single=name == ASK)

    async def _asked(self, prompts: object, *, single: bool) -> ExternalResult:
        try:
            texts = msgspec.convert(prompts, list[str])
            answers = list(await self._host.ask(texts)) if texts else []
        except msgspec.ValidationError:
            return {"exception": TypeError(f"{ASK} takes a text, {ASK_ALL} a list of texts")}
        except AtollError as error:
            self._in_vain += 1
            if self._in_vain > ASKS_IN_VAIN:
                self._stop("it went on asking the model in vain")
            return {"exception": RuntimeError(str(error))}
        except Exception as error:  # noqa: BLE001  a fault of ours must not leave the code waiting
            return {"exception": RuntimeError(f"no answer: {type(error).__name__}")}
        return {"return_value": answers[0] if single else answers}

    def _print(self, _stream: Literal["stdout", "stderr"], text: str) -> None:
        """Keep what there is room for; an exception in here would end our own process."""
        room = self._limit - self._length
        self._length += len(text)
        if room > 0:
            self._printed.append(text[:room])
        if self._length > _FLOOD * self._limit:
            self._stop("it printed without end")


def _unreachable(*_: object) -> NoReturn:
    """Known by name alone: the calls are answered by Step."""
    raise AssertionError
