"""Performs the agent loop: asks the model, runs the tools, emits the events of a turn."""

import asyncio
import secrets
import sys
import traceback
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

import msgspec

from atoll.config.manifest import Manifest
from atoll.core.budget import Spent, check
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
from atoll.loop.model_call import ModelCall
from atoll.ports import Clock, Model, ModelInfo, ModelRequest, Outcome, Toolbox
from atoll.wire.events import (
    Event,
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
from atoll.wire.messages import Call, Options, Usage
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
    ) -> None:
        self._manifest = manifest
        self._info = info
        self._model = model
        self._toolbox = toolbox
        self._clock = clock
        self._request = request
        self._options = merged(manifest.llm, request.options)
        self._began = clock.monotonic_ns()
        self._usage = Usage()
        self._steps = 0
        self._held: Token | None = None
        self._calls = 0

    async def events(self) -> AsyncGenerator[Event, None]:
        """The turn's events; the last one is always a RunEnd or a Failure."""
        turn = self._turn()
        try:
            async with aclosing(turn):  # an early close reaches the model
                async for event in turn:
                    yield event
        except AtollError as error:
            yield Failure(error.code, str(error), error.who, error.status)
        except Exception as error:  # noqa: BLE001  a bug must end the stream, not hang it
            traceback.print_exc(file=sys.stderr)
            yield Failure("internal", f"the agent failed: {type(error).__name__}", "atoll", 500)

    async def _turn(self) -> AsyncGenerator[Event, None]:
        asked = self._request
        question = asked.raw_prompt or last_question(asked.messages)
        yield RunStart(f"run_{secrets.token_hex(8)}", asked.model, question)
        for sentence in self._toolbox.warnings:
            yield Warning(sentence)
        state, action = self._begin()
        while isinstance(action, Ask | RunTools | Announce):
            observation: Observation
            if isinstance(action, Ask):
                if action.counts:
                    yield StepStart(self._steps)
                call = ModelCall(self._clock, action)
                async with aclosing(self._model.stream(self._model_request(action))) as chunks:
                    async for chunk in chunks:
                        if (shown := call.take(chunk)) is not None:
                            yield shown
                        if self._has_deadline:
                            self._check_budget()
                self._steps += action.counts
                observation = self._note(call)
                if observation.calls and self._held and self._held.text:  # said before it called
                    yield self._held
                    self._held = None
            elif isinstance(action, Announce):
                yield Planning(action.plan, action.updated)
                observation = Announced()
            else:
                self._calls += len(action.calls)
                self._check_budget()
                for made in action.calls:
                    yield ToolCall(made.id, made.name, made.arguments)
                outcomes = await self._outcomes(action.calls)
                for made, outcome in zip(action.calls, outcomes, strict=True):
                    yield ToolResult(made.id, made.name, outcome.text, outcome.failed)
                observation = self._ran(action.calls, outcomes)
            state, action = step(state, observation)
            if isinstance(action, Ask):  # what is answered already is not taken back
                self._check_budget()
        for event in self._last(action):
            yield event

    def _within_budget(self, options: Options) -> Options:
        """An answer may not be longer than what is left of the turn's tokens."""
        most = self._manifest.budget.tokens_per_turn
        if most is None:
            return options
        left = max(1, most - self._usage.prompt_tokens - self._usage.completion_tokens)
        return msgspec.structs.replace(options, max_tokens=min(left, options.max_tokens or left))

    @property
    def _has_deadline(self) -> bool:
        return self._manifest.budget.seconds_per_turn is not None

    def _check_budget(self) -> None:
        used, seconds = self._usage, (self._clock.monotonic_ns() - self._began) / 1e9
        tokens = used.prompt_tokens + used.completion_tokens
        spent = Spent(tokens=tokens, calls=self._calls, seconds=seconds)
        check(self._manifest.budget, spent)

    def _begin(self) -> tuple[State, Action]:
        if self._request.raw_prompt is not None:
            return begin(Plan(format=self._request.format), ())
        system = self._manifest.llm.system_prompt
        return begin(self._plan(), conversation(system, self._request.messages))

    def _plan(self) -> Plan:
        own = tuple(self._toolbox.specs)
        clash = {tool.name for tool in own} & {tool.name for tool in self._request.client_tools}
        if clash:
            name = min(clash)
            raise ClientError(f"the agent has a tool of its own called {name!r}: rename yours")
        return Plan(
            agent_tools=own,
            client_tools=self._request.client_tools,
            native="tools" in self._info.capabilities,
            format=self._request.format,
            max_steps=self._request.max_steps or self._manifest.loop.max_steps or MAX_STEPS,
            planning_interval=self._manifest.loop.planning_interval,
            force_answer=self._request.force_answer,
        )

    def _model_request(self, ask: Ask) -> ModelRequest:
        asked = self._request
        options = self._within_budget(self._options)
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

    def _note(self, call: ModelCall) -> Replied:
        self._usage += call.usage
        self._held = call.held
        return call.reply

    async def _outcomes(self, calls: Sequence[Call]) -> list[Outcome]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._toolbox.call(call)) for call in calls]
        return [task.result() for task in tasks]

    def _ran(self, calls: tuple[Call, ...], outcomes: Sequence[Outcome]) -> ToolsRan:
        final = next((made.final for made in outcomes if made.final is not None), None)
        if final is not None:
            self._held = Token(final)  # no model says it: it goes out with the end
        return ToolsRan(calls, tuple(made.text for made in outcomes), final)

    def _last(self, action: Finish | HandOver) -> Iterator[Event]:
        if isinstance(action, HandOver):
            for call in action.calls:
                yield ToolCall(call.id, call.name, call.arguments, "client")
            yield self._end(action.text, "stop", completed=True)
            return
        if self._held:
            yield self._held  # it looked like a call and was an answer
        if sentence := doubt(action, self._steps):
            yield Warning(sentence)
        yield self._end(action.answer, action.reason, completed=action.completed)

    def _end(self, answer: str, reason: StopReason, *, completed: bool) -> RunEnd:
        return RunEnd(
            answer=answer,
            reason=reason,
            usage=self._usage,
            total_ns=max(1, self._clock.monotonic_ns() - self._began),
            steps=self._steps,
            completed=completed,
        )
