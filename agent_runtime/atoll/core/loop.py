"""The agent loop as a pure step function: what happened -> what to do next.

Every transition of a turn lives in this file. The runner (`atoll.loop.runner`)
performs the actions and comes back with observations; nothing here waits,
reads a clock or talks to anybody.

A turn, numbered as in the code:
0. With tools and a planning interval: before its steps 0, N, 2N, ... the model writes a
   plan, or a new one, which is announced and stands behind the conversation from then on.
1. Without tools: ask once, the answer is the end.
2. Tools and a model that calls them natively: ask with the tools.
   2a. No call: that was the answer (with a `format`: ask again, held to it). Nothing
       at all after tools have run: ask for the answer, without tools.
   2b. Calls of the agent's own tools: run them, then 2 again. Calls of the
       client's tools in the same reply are dropped; the model asks anew. So are
       twins: the same call twice in one reply runs once.
       A tool that gives a final answer (SUBMIT in execute_code) ends the turn.
   2c. Calls of the client's tools only: hand them over, the turn ends.
3. Tools and a model that has none: ask it to decide (schema-constrained).
   3a. It chose a tool: as 2b or 2c; results are put before the question.
   3b. It chose to answer, or repeats itself: ask for the answer, without tools.
4. The steps are used up, or the model repeats itself (`atoll.core.repetition`): one
   last answer without tools, unless the caller said no.
"""

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import Struct

from atoll.core.decide import decide_messages, decide_schema, decided, informed, shortlist
from atoll.core.lenient import calls_in_text
from atoll.core.prompt import (
    LAST_ANSWER,
    REPEATED_ANSWER,
    last_question,
    plan_messages,
    planned,
)
from atoll.core.repetition import Progress, distinct, key_of, noted
from atoll.wire.messages import Call, Format, Message, ToolSpec

Purpose = Literal["plan", "answer", "decide", "last"]
Limit = Literal["steps", "repeats"]


class Plan(Struct, frozen=True, kw_only=True):
    """What is fixed for the whole turn."""

    agent_tools: tuple[ToolSpec, ...] = ()
    client_tools: tuple[ToolSpec, ...] = ()
    native: bool = False
    format: Format = None
    max_steps: int = 10
    force_answer: bool = True
    planning_interval: int = 0
    """Steps between two plans; 0 is none."""

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Every tool the model may call."""
        return self.agent_tools + self.client_tools


class State(Struct, frozen=True, kw_only=True):
    """A turn between two steps; `messages` grow with each reply and result."""

    plan: Plan
    messages: tuple[Message, ...]
    asked: Purpose = "answer"
    step_index: int = 0
    calls_made: tuple[Call, ...] = ()
    progress: Progress = Progress()
    ended_by: Limit | None = None
    """Why the last answer was forced."""
    written: str = ""
    """The plan that holds."""
    planned_at: int = -1
    """The step before which it was written."""


class Replied(Struct, frozen=True):
    """The model's reply to an Ask is complete."""

    text: str
    calls: tuple[Call, ...]
    reason: Literal["stop", "length"]


class ToolsRan(Struct, frozen=True):
    """Every call of a RunTools has its result, in the order of the calls.

    `final` is the turn's answer, when one of the tools gave it.
    """

    calls: tuple[Call, ...]
    results: tuple[str, ...]
    final: str | None = None


class Announced(Struct, frozen=True):
    """The plan of an Announce has been told."""


Observation = Replied | ToolsRan | Announced


class Ask(Struct, frozen=True, kw_only=True):
    """Call the model. `visible`: its text goes to the client as it comes."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    format: Format = None
    visible: bool = True
    exact: bool = False
    """Sample without chance: a decision, not prose."""
    counts: bool = True
    """Whether this is a step; writing a plan is none."""


class RunTools(Struct, frozen=True):
    """Run the agent's own tools."""

    calls: tuple[Call, ...]


class Announce(Struct, frozen=True):
    """Tell the plan; `updated` is the new one when there was one before."""

    plan: str
    updated: str = ""


class HandOver(Struct, frozen=True):
    """The turn ends with calls of the client's tools."""

    calls: tuple[Call, ...]
    text: str


class Finish(Struct, frozen=True):
    """The turn is complete; `ended_by` tells the limit that the model did not end before."""

    answer: str
    reason: Literal["stop", "length"] = "stop"
    ended_by: Limit | None = None

    @property
    def completed(self) -> bool:
        """Whether the model ended the turn by itself."""
        return self.ended_by is None


Action = Ask | RunTools | Announce | HandOver | Finish


def begin(plan: Plan, messages: Sequence[Message]) -> tuple[State, Action]:
    """Start a turn over a conversation whose system messages are already in place."""
    return _next_ask(State(plan=plan, messages=tuple(messages)))


def step(state: State, observation: Observation) -> tuple[State, Action]:
    """Decide what follows from what was observed."""
    match observation:
        case Replied():
            return _after_reply(state, observation)
        case ToolsRan():
            return _after_tools(state, observation)
        case Announced():
            return _next_ask(state)
        case _:
            assert_never(observation)


def _next_ask(state: State) -> tuple[State, Action]:
    plan = state.plan
    if not plan.tools:  # 1
        return _answer(state)
    if _is_to_plan(state):  # 0
        messages = plan_messages(state.messages, state.written)
        ask = Ask(messages=messages, visible=False, counts=False)
        return msgspec.structs.replace(state, asked="plan", planned_at=state.step_index), ask
    messages = planned(state.messages, state.written)
    if plan.native:  # 2
        hidden = plan.format is not None
        ask = Ask(messages=messages, tools=plan.tools, visible=not hidden)
        return msgspec.structs.replace(state, asked="answer"), ask
    tools = shortlist(last_question(state.messages), plan.tools)
    ask = Ask(  # 3
        messages=decide_messages(messages, tools),
        format=decide_schema(tools),
        visible=False,
        exact=True,
    )
    return msgspec.structs.replace(state, asked="decide"), ask


def _is_to_plan(state: State) -> bool:
    every = state.plan.planning_interval
    return bool(every) and state.step_index % every == 0 and state.planned_at != state.step_index


def _answer(state: State) -> tuple[State, Action]:
    ask = Ask(messages=state.messages, format=state.plan.format)
    return msgspec.structs.replace(state, asked="last"), ask


def _after_reply(state: State, reply: Replied) -> tuple[State, Action]:
    match state.asked:
        case "plan":
            return _after_plan(state, reply.text.strip())
        case "last":
            return state, Finish(reply.text, reply.reason, state.ended_by)
        case "answer":
            return _after_native(state, reply)
        case "decide":
            return _after_decision(state, reply)
        case _:
            assert_never(state.asked)


def _after_plan(state: State, text: str) -> tuple[State, Action]:
    if not text:  # a model that has no plan goes on without
        return _next_ask(state)
    old, state = state.written, msgspec.structs.replace(state, written=text)
    return state, Announce(old, text) if old else Announce(text)


def _after_native(state: State, reply: Replied) -> tuple[State, Action]:
    names = {tool.name for tool in state.plan.tools}
    calls = reply.calls or calls_in_text(reply.text, names, len(state.calls_made))
    if calls:
        text = reply.text if reply.calls else ""
        return _on_calls(state, calls, text)
    if state.plan.tools and state.plan.format is not None:  # 2a, held to the format
        return _answer(state)
    if state.calls_made and not reply.text.strip() and reply.reason == "stop":  # 2a
        return _answer(state)
    return state, Finish(reply.text, reply.reason)  # 2a


def _after_decision(state: State, reply: Replied) -> tuple[State, Action]:
    call = decided(reply.text, state.plan.tools, len(state.calls_made))
    if call is None or _repeats(state, call):  # 3b
        return _answer(state)
    return _on_calls(state, (call,), "")  # 3a


def _on_calls(state: State, calls: tuple[Call, ...], text: str) -> tuple[State, Action]:
    client = {tool.name for tool in state.plan.client_tools}
    own = distinct(call for call in calls if call.name not in client)
    if not own:  # 2c
        return state, HandOver(calls, text)
    made = (*state.calls_made, *own)  # 2b
    said = Message(role="assistant", content=text, calls=own)
    messages = (*state.messages, said) if state.plan.native else state.messages
    return msgspec.structs.replace(state, messages=messages, calls_made=made), RunTools(own)


def _after_tools(state: State, ran: ToolsRan) -> tuple[State, Action]:
    if ran.final is not None:  # 2b
        return state, Finish(ran.final)
    messages = state.messages
    for call, result in zip(ran.calls, ran.results, strict=True):
        told = noted(state.progress, call, result)
        messages = _with_result(state.plan.native, messages, call, told)
    state = msgspec.structs.replace(
        state,
        messages=messages,
        step_index=state.step_index + 1,
        progress=state.progress.after(ran.calls, ran.results),
    )
    if state.progress.is_stuck:
        return _forced(state, "repeats")
    if state.step_index >= state.plan.max_steps:
        return _forced(state, "steps")
    return _next_ask(state)


def _with_result(
    native: bool, messages: tuple[Message, ...], call: Call, result: str
) -> tuple[Message, ...]:
    if not native:
        return informed(messages, call, result)
    told = Message(role="tool", content=result, tool_name=call.name, call_id=call.id)
    return (*messages, told)


def _forced(state: State, limit: Limit) -> tuple[State, Action]:
    if not state.plan.force_answer:  # 4
        return state, Finish("", ended_by=limit)
    note = Message(role="system", content=LAST_ANSWER if limit == "steps" else REPEATED_ANSWER)
    messages = (*state.messages, note)
    return _answer(msgspec.structs.replace(state, messages=messages, ended_by=limit))


def _repeats(state: State, call: Call) -> bool:
    return any(key_of(made) == key_of(call) for made in state.calls_made)
