"""Every transition of a run, as one pure function (DESIGN section 4).

1. `Begun`: the agent must exist and its inputs fit, or the run fails at once.
2. `Answered` in a step: the answer must fit the agent's output. Once it is asked to
   mend it; a second misfit fails the run. What fits is a finished step.
3. After a step of a workflow: a fixed hand-off or a choice goes on, anything else is the end.
4. `Interrupted`: asked again, or failed, as the run's policy says.

What belongs to a question that is no longer open changes nothing, so no step's
result is ever taken twice.
"""

from typing import assert_never

from msgspec.structs import replace

from atoll.config.signature import SignatureError
from atoll.config.signature_values import completed, faults_of
from atoll.wire.json import JsonObject
from atoll_supervisor.core.runs.events import (
    Answered,
    Ask,
    AskFailed,
    Begun,
    CancelAsked,
    Event,
    EventType,
    Interrupted,
    Outcome,
    Told,
)
from atoll_supervisor.core.runs.handoff import (
    Wrong,
    chosen,
    fault_ahead,
    inputs_for,
    unknown,
)
from atoll_supervisor.core.runs.prompt import (
    Refused,
    choice_ask,
    choice_in,
    result_in,
    step_ask,
)
from atoll_supervisor.core.runs.records import (
    Asking,
    Cancelled,
    Choosing,
    Completed,
    Failed,
    Key,
    Phase,
    Plan,
    Progress,
    Run,
    Starting,
    Step,
)
from atoll_supervisor.core.runs.roles import Find, Role
from atoll_supervisor.core.runs.view import path_of, rfc3339, shown_path, status_of

MOST_TRIES = 5
"""Interruptions of one step after which it is what ends its agent, and the run fails."""
FAULT = "the daemon failed; its log has the reason"
MOST_DETAIL = 2000
"""Characters of an error, or of what an event says: an agent may answer with megabytes."""


def accepted(plan: Plan) -> Outcome:
    """A run that has just been asked for."""
    return _Change(Run(plan=plan), plan.accepted).told("run_accepted").outcome()


def step(run: Run, event: Event, find: Find) -> Outcome:
    """The run after an event, what is to be told of it, and the question to ask next."""
    if run.is_final:
        return Outcome(run)
    change = _Change(run, event.at)
    try:
        _apply(change, event, find)
    except SignatureError as error:
        change.fail(Wrong(f"an agent's signature is wrong: {error}", "bad_signature"))
    return change.outcome()


def given_up(run: Run, at: float) -> Outcome:
    """The run that a fault of ours has ended."""
    change = _Change(run, at)
    change.fail(Wrong(FAULT, "internal"))
    return change.outcome()


def open_question(run: Run) -> Key | None:
    """The question whose answer the run waits for."""
    return run.phase.key if isinstance(run.phase, Asking | Choosing) else None


def _apply(change: "_Change", event: Event, find: Find) -> None:
    match event:
        case CancelAsked():
            change.enter(Cancelled(event.at)).told("run_cancelled")
        case Begun():
            if isinstance(change.run.phase, Starting):
                _begin(change, find)
        case Answered() | AskFailed() | Interrupted():
            if event.key == open_question(change.run):
                _heard(change, event, find)
        case _:
            assert_never(event)


def _heard(change: "_Change", event: Answered | AskFailed | Interrupted, find: Find) -> None:
    phase = change.run.phase
    assert isinstance(phase, Asking | Choosing)
    match event:
        case Answered(text=text) if isinstance(phase, Asking):
            _answered(change, phase, text, find)
        case Answered(text=text) if isinstance(phase, Choosing):
            _has_chosen(change, phase, text, find)
        case AskFailed(error=error, reason=reason):
            change.fail(Wrong(error, reason))
        case Interrupted(words=words):
            _interrupted(change, phase, words, find)
        case _:
            return


def _begin(change: "_Change", find: Find) -> None:
    plan = change.run.plan
    role = find(plan.agent)
    if role is None:
        change.fail(unknown(plan.agent))
    elif plan.kind == "flock" and (wrong := fault_ahead(role, find)):
        change.fail(wrong)
    else:
        _ask(change, role, plan.inputs)


def _ask(change: "_Change", role: Role, inputs: JsonObject) -> None:
    """Begin the next step, unless its inputs do not fit."""
    if role.input is not None and (faults := faults_of(role.input, inputs, "input")):
        change.fail(Wrong(f"agent '{role.slug}': {'; '.join(faults)}", "invalid_inputs"))
        return
    given = completed(role.input, inputs) if role.input is not None else inputs
    key = Key(len(change.run.steps) + 1)
    phase = Asking(key=key, agent=role.slug, inputs=given, began=change.at)
    change.enter(phase).told("step_started", step=key.position, agent=role.slug)
    change.ask = step_ask(phase, role)


def _answered(change: "_Change", phase: Asking, text: str, find: Find) -> None:
    role = find(phase.agent)
    if role is None:
        change.fail(unknown(phase.agent))
        return
    found = result_in(role.output, text)
    if isinstance(found, Refused):
        _refused(change, phase, text, found.fault, find)
        return
    change.finished(phase, found)
    if change.run.plan.kind == "flock":
        _hand_off(change, role, find)
    else:
        change.complete()


def _refused(
    change: "_Change", phase: Asking | Choosing, text: str, fault: str, find: Find
) -> None:
    """The answer does not fit: once it may be mended."""
    key, agent = phase.key, phase.agent
    change.told("answer_refused", step=key.position, agent=agent, detail=fault)
    if key.attempt:
        error = f"agent '{agent}' answered twice what does not fit: {fault}"
        change.fail(Wrong(error, "invalid_output"))
    else:
        _again(change, replace(phase, key=replace(key, attempt=1), answer=text, fault=fault), find)


def _interrupted(change: "_Change", phase: Asking | Choosing, words: str, find: Find) -> None:
    key = phase.key
    change.told("interrupted", step=key.position, agent=phase.agent, detail=words)
    if change.run.plan.on_interrupt == "fail" or key.tries + 1 >= MOST_TRIES:
        error = f"interrupted in step {key.position} (agent '{phase.agent}'): {words}"
        change.fail(Wrong(error, "interrupted"))
    else:
        _again(change, replace(phase, key=replace(key, tries=key.tries + 1)), find)


def _again(change: "_Change", phase: Asking | Choosing, find: Find) -> None:
    role = find(phase.agent)
    if role is None:
        change.fail(unknown(phase.agent))
    elif isinstance(phase, Asking):
        change.enter(phase).ask = step_ask(phase, role)
    else:
        _ask_choice(change, phase, find)


def _hand_off(change: "_Change", role: Role, find: Find) -> None:
    if role.hand_off:
        _go_on(change, role, role.hand_off, find)
    elif role.routing.choices:
        key = Key(len(change.run.steps), chooses=True)
        found = [(name, find(name)) for name in role.routing.choices]
        if missing := [name for name, one in found if one is None]:
            change.fail(unknown(missing[0]))
            return
        slugs = tuple(dict.fromkeys(one.slug for _, one in found if one is not None))
        _ask_choice(change, Choosing(key=key, agent=role.slug, choices=slugs), find)
    else:
        change.complete()


def _ask_choice(change: "_Change", phase: Choosing, find: Find) -> None:
    roles = [role for name in phase.choices if (role := find(name)) is not None]
    change.enter(phase).ask = choice_ask(phase, roles, change.run.steps[-1])


def _has_chosen(change: "_Change", phase: Choosing, text: str, find: Find) -> None:
    role = find(phase.agent)
    if role is None:
        change.fail(unknown(phase.agent))
        return
    answer = choice_in(phase.choices, text)
    if isinstance(answer, Refused):
        _refused(change, phase, text, answer.fault, find)
        return
    said = f"{answer['agent']}, confidence {answer['confidence']}"
    change.told("chosen", step=phase.key.position, agent=role.slug, detail=said)
    if name := chosen(role, answer):
        _go_on(change, role, name, find)
    else:
        change.complete()


def _go_on(change: "_Change", role: Role, name: str, find: Find) -> None:
    run, following = change.run, find(name)
    if following is None:
        change.fail(unknown(name))
        return
    if len(run.steps) >= run.plan.max_steps:
        path = shown_path((*path_of(run), following.slug))
        error = f"the limit of {run.plan.max_steps} steps is reached: {path}"
        change.fail(Wrong(error, "loop_limit"))
        return
    change.told("handed_off", step=len(run.steps), agent=following.slug, detail=role.slug)
    _ask(change, following, inputs_for(following, role, run.plan, run.steps))


class _Change:
    """A run while one event is applied to it; lives no longer than that."""

    def __init__(self, run: Run, at: float) -> None:
        self.run = run
        self.at = at
        self.ask: Ask | None = None
        self._told: list[Told] = []

    def enter(self, phase: Phase) -> "_Change":
        self.run = replace(self.run, progress=Progress(phase, self.run.progress.told))
        self.ask = None
        return self

    def finished(self, phase: Asking, result: JsonObject) -> None:
        done = Step(
            position=phase.key.position,
            agent=phase.agent,
            inputs=phase.inputs,
            result=result,
            began=phase.began,
            ended=self.at,
        )
        self.run = replace(self.run, steps=(*self.run.steps, done))
        self.told("step_completed", step=done.position, agent=done.agent, result=result)

    def complete(self) -> None:
        result = self.run.steps[-1].result
        self.enter(Completed(result, self.at)).told("run_completed", result=result)

    def fail(self, wrong: Wrong) -> None:
        error = wrong.error[:MOST_DETAIL]
        failed = Failed(error, wrong.reason, self.at)
        self.enter(failed).told("run_failed", detail=error, reason=wrong.reason)

    def told(
        self,
        kind: EventType,
        *,
        step: int = 0,
        agent: str = "",
        result: JsonObject | None = None,
        detail: str = "",
        reason: str = "",
    ) -> "_Change":
        progress = self.run.progress
        self._told.append(
            Told(
                id=progress.told + 1,
                type=kind,
                at=rfc3339(self.at),
                run_id=self.run.plan.run_id,
                status=status_of(progress.phase),
                step=step,
                agent=agent,
                result=result,
                detail=detail[:MOST_DETAIL],
                reason=reason,
            )
        )
        self.run = replace(self.run, progress=Progress(progress.phase, progress.told + 1))
        return self

    def outcome(self) -> Outcome:
        return Outcome(self.run, tuple(self._told), self.ask)
