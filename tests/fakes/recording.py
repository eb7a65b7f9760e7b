"""One recorded turn, and what every dialect makes of it.

    python -m tests.fakes.recording      record the turn anew and write tests/core/golden/

The turn is run by the real runner over a model that says what is written here, so the
recording is what an agent emits and not what somebody thinks it emits. Look at the
difference that git shows before it is committed: it is what clients will see.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Loop, Manifest
from atoll.http.answer import gathered
from atoll.http.anthropic.projection import MessageProjection
from atoll.http.fleet_rlm.projection import FleetProjection
from atoll.http.fleet_rlm.wire import EventData, EventFrame
from atoll.http.kawai.projection import KawaiProjection, answer_of
from atoll.http.ollama.projection import ChatProjection, GenerateProjection
from atoll.http.openai.legacy_projection import TextProjection
from atoll.http.openai.projection import CompletionProjection
from atoll.http.responses.objects import ReasoningOut, ResponseOut, TextOut
from atoll.http.responses.projection import ResponseProjection
from atoll.http.responses.wire import TextFormat
from atoll.http.turns import Projection
from atoll.loop.runner import Runner
from atoll.ports import CallsDelta, Done, ModelInfo, Outcome, TextDelta, ThinkingDelta
from atoll.wire.events import Event, RunStart
from atoll.wire.messages import Call, Message, Usage
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import FakeClock, FakeModel, FakeTools, errand

GOLDEN = Path(__file__).resolve().parents[1] / "core" / "golden"
EVENTS = GOLDEN / "turn.jsonl"
NOW = 1_800_000_000
"""The time of every stamp; Kawai's events are a quarter of a second apart."""
SESSION = "user-123"

_NATIVE = ModelInfo(
    backend="scripted", model="fake", capabilities=("completion", "tools", "thinking")
)
_MANIFEST = Manifest(agent=AgentTable(name="Otto"), loop=Loop(planning_interval=5))
_QUESTION = Message(role="user", content="Is it warmer in Turku or in Oulu?")
_CALLS = (
    Call("call_0000000a", "weather", {"town": "Turku", "unit": "C"}),
    Call("call_0000000b", "weather", {"town": "Oulu", "unit": "C"}),
)
_FRAME = ResponseOut(
    id="resp_abc",
    created_at=NOW,
    instructions=None,
    max_output_tokens=None,
    metadata={},
    model="otto",
    parallel_tool_calls=True,
    reasoning=ReasoningOut(None),
    temperature=None,
    text=TextOut(TextFormat("text")),
    tool_choice="auto",
    tools=(),
    top_p=None,
)


class _Weather(FakeTools):
    """Knows one town, and fails for the other."""

    async def call(self, call: Call) -> Outcome:
        if call.arguments["town"] == "Oulu":
            return Outcome("weather failed: no such station", failed=True)
        return Outcome('{"temperature": -3.5, "sky": "snöslask"}')


def _usage(prompt: int, completion: int) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        load_ns=1_000_000,
        prompt_ns=2_000_000,
        completion_ns=3_000_000,
    )


def _model() -> FakeModel:
    """A plan; thinking, a word and two calls at once; thinking and the answer in pieces."""
    return FakeModel(
        [TextDelta("1. Ask for both towns.\n2. Compare."), Done("stop", _usage(11, 9))],
        [
            ThinkingDelta("I need "),
            ThinkingDelta("both towns."),
            TextDelta("Let me look. "),
            CallsDelta(_CALLS),
            Done("stop", _usage(42, 17)),
        ],
        [
            ThinkingDelta("Oulu is not known."),
            TextDelta("Turku has "),
            TextDelta("-3.5 °C; "),
            TextDelta("of Oulu I know nothing. ☃"),
            Done("stop", _usage(77, 21)),
        ],
        info=_NATIVE,
    )


async def record() -> list[Event]:
    """Run the turn; its id is the same each time."""
    tools = _Weather(weather="")
    tools.troubles = ("MCP server maps does not work: it ended",)
    asked = TurnRequest(model="otto", messages=(_QUESTION,), session=SESSION)
    model = _model()
    clock = FakeClock()
    runner = Runner(_MANIFEST, model.info, model, tools, clock, asked, errand(_MANIFEST, clock))
    events = await told_by(runner.run)
    assert isinstance(events[0], RunStart)
    return [msgspec.structs.replace(events[0], run_id="run_1"), *events[1:]]


def read() -> list[Event]:
    """The recording."""
    decoder = msgspec.json.Decoder(Event)
    return [decoder.decode(line) for line in EVENTS.read_bytes().splitlines()]


def _stream(made: Callable[[], Projection]) -> Callable[[list[Event]], bytes]:
    def text(events: list[Event]) -> bytes:
        return b"".join(map(made().line, events))

    return text


def _whole(made: Callable[[], Projection]) -> Callable[[list[Event]], bytes]:
    def text(events: list[Event]) -> bytes:
        return _indented(made().whole(gathered(events)))

    return text


def _indented(body: bytes) -> bytes:
    """One value a line, so that a difference can be read."""
    return json.dumps(json.loads(body), indent=1, ensure_ascii=False).encode() + b"\n"


def _now() -> datetime:
    return datetime.fromtimestamp(NOW, UTC)


def _chat() -> Projection:
    return ChatProjection("otto", _now)


def _generate() -> Projection:
    return GenerateProjection("otto", _now)


def _completion() -> Projection:
    return CompletionProjection("chatcmpl-1", NOW, "otto", usage=True)


def _text() -> Projection:
    return TextProjection("cmpl-1", NOW, "otto", usage=True)


def _response() -> Projection:
    return ResponseProjection(_FRAME)


def _message() -> Projection:
    return MessageProjection("msg_1", "otto", "req_1")


def _kawai(events: list[Event]) -> bytes:
    projection = KawaiProjection(SESSION, "otto")
    return b"".join(projection.events(one, NOW + at / 4) for at, one in enumerate(events))


def _answer(events: list[Event]) -> bytes:
    return _indented(msgspec.json.encode(answer_of(events, SESSION, 1)))


def _frames(events: list[Event]) -> bytes:
    """One frame a line; each is a message of the WebSocket."""
    projection = FleetProjection(SESSION, "turn_1", "verbose")
    stamp = _now().isoformat()
    said = [one for event in events for one in projection.told(event, 1)]
    frames = [EventFrame(EventData(kind, text, payload, stamp)) for kind, text, payload in said]
    return b"".join(msgspec.json.encode(frame) + b"\n" for frame in frames)


DIALECTS: dict[str, Callable[[list[Event]], bytes]] = {
    "ollama-chat.ndjson": _stream(_chat),
    "ollama-chat.json": _whole(_chat),
    "ollama-generate.ndjson": _stream(_generate),
    "ollama-generate.json": _whole(_generate),
    "openai-chat-completions.sse": _stream(_completion),
    "openai-chat-completions.json": _whole(_completion),
    "openai-completions.sse": _stream(_text),
    "openai-completions.json": _whole(_text),
    "openai-responses.sse": _stream(_response),
    "openai-responses.json": _whole(_response),
    "anthropic-messages.sse": _stream(_message),
    "anthropic-messages.json": _whole(_message),
    "kawai-stream.sse": _kawai,
    "kawai-and-fleet-rlm-chat.json": _answer,
    "fleet-rlm-frames.jsonl": _frames,
}
"""File and what makes it of the events; a new dialect gets a line here."""


def write() -> None:
    """Record the turn and write all files."""
    events = asyncio.run(record())
    GOLDEN.mkdir(exist_ok=True)
    EVENTS.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    for name, made in DIALECTS.items():
        (GOLDEN / name).write_bytes(made(events))


if __name__ == "__main__":
    write()
