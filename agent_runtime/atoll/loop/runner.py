"""Performs the agent loop: asks the model, runs the tools, emits the events of a turn."""

import random
import sys
import traceback
from collections.abc import Sequence
from contextlib import aclosing
from typing import assert_never

import msgspec

from atoll.config.manifest import Manifest
from atoll.core.doubt import doubt
from atoll.core.loop import (
    Action,
    Announce,
    Announced,
    Ask,
    Finish,
    HandOver,
    Observation,
    Plan,
    Replied,
    RunTools,
    State,
    ToolsRan,
    begin,
    step,
)
from atoll.core.prompt import conversation, last_question, merged
from atoll.errors import AtollError, ClientError
from atoll.loop.errand import Errand
from atoll.loop.model_call import ModelCall
from atoll.ports import Clock, Model, ModelInfo, ModelRequest, Toolbox
from atoll.wire.events import (
    Emit,
    Failure,
    Planning,
    RunEnd,
    RunStart,
    StepStart,
    StopReason,
    Token,
    ToolCall,
    ToolResult,
    Warning,
)
from atoll.wire.messages import Call, ToolSpec, Usage
from atoll.wire.turn import TurnRequest

MAX_STEPS = 10
"""Steps of a turn when neither the request nor the manifest says how many."""
DECISION_TOKENS = 256
"""A decision is one short JSON object."""


class Runner:
    """Runs one turn; made anew for each."""

    def __init__(
        self,
        manifest: Manifest,
        info: ModelInfo,
        model: Model,
        toolbox: Toolbox,
        clock: Clock,
        request: TurnRequest,
        errand: Errand,
    ) -> None:
        self._manifest = manifest
        self._info = info
        self._model = model
        self._toolbox = toolbox
        self._clock = clock
        self._request = request
        self._options = merged(manifest.llm, request.options)
        self._errand = errand
        self._ledger = errand.ledger
        self._steps = 0
        self._held: Token | None = None

    async def run(self, emit: Emit) -> None:
        """Run it; the last event is always a RunEnd or a Failure, unless it is cancelled."""
        try:
            await self._turn(emit)
        except AtollError as error:
            told, used = str(error), self._ledger.usage
            await emit(Failure(error.code, told, error.who, error.status, used))
        except Exception as error:  # noqa: BLE001  a bug must end the stream, not hang it
            traceback.print_exc(file=sys.stderr)
            told = f"the agent failed: {type(error).__name__}"
            await emit(Failure("internal", told, "atoll", 500, self._ledger.usage))

    async def _turn(self, emit: Emit) -> None:
        asked = self._request
        question = asked.raw_prompt or last_question(asked.messages)
        # It only has to be another one each time; the system's own randomness costs a call of it.
        await emit(RunStart(f"run_{random.getrandbits(64):016x}", asked.model, question))
        for sentence in self._toolbox.warnings:
            await emit(Warning(sentence))
        state, action = self._begin()
        while not isinstance(action, Finish | HandOver):
            state, action = step(state, await self._perform(action, emit))
            if isinstance(action, Ask):  # what is answered already is not taken back
                self._ledger.check()
        await self._last(action, emit)

    async def _perform(self, action: Ask | RunTools | Announce, emit: Emit) -> Observation:
        match action:
            case Ask():
                return await self._asked(action, emit)
            case RunTools(calls):
                return await self._ran(calls, emit)
            case Announce(plan, updated):
                await emit(Planning(plan, updated))
                return Announced()
            case _:
                assert_never(action)

    async def _asked(self, ask: Ask, emit: Emit) -> Replied:
        if ask.counts:
            await emit(StepStart(self._steps))
        call = ModelCall(self._clock, ask)
        async with aclosing(self._model.stream(self._model_request(ask))) as chunks:
            async for chunk in chunks:
                if (shown := call.take(chunk)) is not None:
                    await emit(shown)
                if self._ledger.has_deadline:
                    self._ledger.check()
        self._steps += ask.counts
        self._ledger.spend(call.usage)
        self._held = call.held
        reply = call.reply
        if reply.calls and self._held and self._held.text:  # said before it called
            await emit(self._held)
            self._held = None
        return reply

    async def _ran(self, calls: tuple[Call, ...], emit: Emit) -> ToolsRan:
        self._ledger.spend(Usage(), len(calls))
        self._ledger.check()
        for call in calls:
            await emit(ToolCall(call.id, call.name, call.arguments))
        outcomes = await self._errand.run(self._toolbox, calls, emit)
        for call, outcome in zip(calls, outcomes, strict=True):
            await emit(ToolResult(call.id, call.name, outcome.text, outcome.failed))
        final = next((made.final for made in outcomes if made.final is not None), None)
        if final is not None:
            self._held = Token(final)  # no model says it: it goes out with the end
        return ToolsRan(calls, tuple(made.text for made in outcomes), final)

    def _begin(self) -> tuple[State, Action]:
        if self._request.raw_prompt is not None:
            return begin(Plan(format=self._request.format), ())
        system = self._manifest.llm.system_prompt
        return begin(self._plan(), conversation(system, self._request.messages))

    def _plan(self) -> Plan:
        own = tuple(self._toolbox.specs)
        if own and self._request.client_tools:
            self._check_names(own)
        return Plan(
            agent_tools=own,
            client_tools=self._request.client_tools,
            native="tools" in self._info.capabilities,
            format=self._request.format,
            max_steps=self._request.max_steps or self._manifest.loop.max_steps or MAX_STEPS,
            planning_interval=self._manifest.loop.planning_interval,
            force_answer=self._request.force_answer,
        )

    def _check_names(self, own: Sequence[ToolSpec]) -> None:
        clash = {tool.name for tool in own} & {tool.name for tool in self._request.client_tools}
        if clash:
            name = min(clash)
            raise ClientError(f"the agent has a tool of its own called {name!r}: rename yours")

    def _model_request(self, ask: Ask) -> ModelRequest:
        asked = self._request
        options = self._ledger.within(self._options)
        if ask.exact:
            options = msgspec.structs.replace(
                options, temperature=0.0, max_tokens=DECISION_TOKENS, repeat_penalty=1.0
            )
        return ModelRequest(
            messages=ask.messages,
            options=options,
            tools=ask.tools,
            format=ask.format,
            think=None if ask.exact else asked.think,
            raw_prompt=asked.raw_prompt,
            suffix=asked.suffix,
            keep_alive=asked.keep_alive,
            logprobs=asked.logprobs and ask.visible,
            top_logprobs=asked.top_logprobs,
        )

    async def _last(self, action: Finish | HandOver, emit: Emit) -> None:
        if isinstance(action, HandOver):
            for call in action.calls:
                await emit(ToolCall(call.id, call.name, call.arguments, "client"))
            await emit(self._end(action.text, "stop", completed=True))
            return
        if self._held:
            await emit(self._held)  # it looked like a call and was an answer
        if sentence := doubt(action, self._steps):
            await emit(Warning(sentence))
        await emit(self._end(action.answer, action.reason, completed=action.completed))

    def _end(self, answer: str, reason: StopReason, *, completed: bool) -> RunEnd:
        return RunEnd(
            answer=answer,
            reason=reason,
            usage=self._ledger.usage,
            total_ns=self._ledger.elapsed_ns,
            steps=self._steps,
            completed=completed,
        )
