"""What an agent is asked in a step, and what its answer must be."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from atoll.config.names import NOBODY
from atoll.config.signature_types import Choice, Field, Plain, Signature
from atoll.config.signature_values import completed, faults_of, json_schema
from atoll.wire.halves import whole
from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.core.runs.events import Ask, Said
from atoll_supervisor.core.runs.records import Asking, Choosing, Step
from atoll_supervisor.core.runs.roles import Role

MOST_QUOTED = 4000
"""Characters of a wrong answer that are shown to its model again."""

_FENCE = "```"


class Refused(Struct, frozen=True):
    """Why an answer does not fit."""

    fault: str


def step_ask(phase: Asking, role: Role) -> Ask:
    """The question of a step; a second attempt tells what was wrong with the first."""
    asked = _question(role, phase.inputs)
    schema = json_schema(role.output) if role.output else None
    return Ask(phase.key, role.slug, _with_repair(asked, phase), schema)


def choice_ask(phase: Choosing, roles: Sequence[Role], last: Step) -> Ask:
    """The question who goes on."""
    listed = "\n".join(f"- {one.slug}: {_about(one)}" for one in roles)
    asked = (
        f"A step of a workflow is done. Its result:\n{_json(last.result)}\n\n"
        f"Who should go on?\n{listed}\n- {NOBODY}: nobody; the workflow is complete\n\n"
        "Answer with a JSON object: `agent`, one of these names, and `confidence`, "
        "a number from 0 to 1 for how sure you are."
    )
    schema = json_schema(choice_signature(phase.choices))
    return Ask(phase.key, phase.agent, _with_repair(asked, phase), schema)


def choice_signature(choices: tuple[str, ...]) -> Signature:
    """The form of the answer to a choice."""
    agent = Field("agent", Choice((*choices, NOBODY)), words="one of the names")
    return Signature((agent, Field("confidence", Plain("float"), words="float")))


def choice_in(choices: tuple[str, ...], text: str) -> JsonObject | Refused:
    """The choice that an answer makes; 90 for 0.9 would pass any threshold, so it is refused."""
    answer = result_in(choice_signature(choices), text)
    if isinstance(answer, Refused):
        return answer
    confidence = answer["confidence"]
    if isinstance(confidence, int | float) and 0 <= confidence <= 1:
        return answer
    return Refused("output `confidence` must be from 0 to 1")


def result_in(signature: Signature | None, text: str) -> JsonObject | Refused:
    """The result that an answer gives; without a signature its text is the field `result`."""
    if signature is None:
        return {"result": text}
    try:
        value: JsonValue = msgspec.json.decode(whole(_unfenced(text).encode()))
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return Refused(f"it is no JSON: {error}")
    if not isinstance(value, dict):
        return Refused("it is no JSON object")
    if faults := faults_of(signature, value, "output"):
        return Refused("; ".join(faults))
    return completed(signature, value)


def _question(role: Role, inputs: JsonObject) -> str:
    asked = _inputs(role.input, inputs)
    if role.output is None:
        return asked or "Begin."
    wanted = "\n".join(_wanted(field) for field in role.output.fields)
    return f"{asked}\n\nAnswer with a JSON object that has these fields:\n{wanted}".lstrip()


def _inputs(signature: Signature | None, inputs: JsonObject) -> str:
    """One text as it is; anything else as one named line per field."""
    given = {name: value for name, value in inputs.items() if value is not None}
    match list(given.values()):
        case [str(alone)]:
            return alone
        case _:
            about = {f.name: f.description for f in signature.fields} if signature else {}
            return "\n".join(_line(name, about.get(name, ""), given[name]) for name in given)


def _line(name: str, about: str, value: JsonValue) -> str:
    head = f"{name} ({about})" if about else name
    return f"{head}: {value if isinstance(value, str) else _json(value)}"


def _wanted(field: Field) -> str:
    about = f": {field.description}" if field.description else ""
    return f"- {field.name} ({field.words}){about}"


def _about(role: Role) -> str:
    about = role.description or "(no description)"
    return f"{about} Takes {role.takes}" if role.takes else about


def _with_repair(asked: str, phase: Asking | Choosing) -> tuple[Said, ...]:
    first = Said("user", asked)
    if not phase.fault:
        return (first,)
    again = f"That answer cannot be used: {phase.fault}. Answer again with the JSON object alone."
    return (first, Said("assistant", phase.answer[:MOST_QUOTED]), Said("user", again))


def _unfenced(text: str) -> str:
    """A model's JSON without the code fence that many put around it."""
    bare = text.strip()
    if bare.startswith(_FENCE) and bare.endswith(_FENCE) and len(bare) > 2 * len(_FENCE):
        return bare[len(_FENCE) : -len(_FENCE)].removeprefix("json")
    return bare


def _json(value: JsonValue) -> str:
    return msgspec.json.encode(value).decode()
