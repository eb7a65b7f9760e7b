"""What /v1 servers answer: one SSE event, and tool calls that arrive in pieces."""

import msgspec
from msgspec import Struct

from atoll.adapters.ids import new_call_id
from atoll.adapters.lenient_json import arguments_of
from atoll.adapters.logprobs import ContentIn, logprobs_of
from atoll.ports import Chunk, TextDelta, ThinkingDelta
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, Usage

MS = 1_000_000
"""Nanoseconds."""


class Function(Struct):
    """A piece of a call; arguments are JSON text, or whole as an object in some servers."""

    name: str | None = None
    arguments: JsonObject | str | None = None


class CallPiece(Struct):
    """Some more of the call with this index."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(Struct):
    """Some more of the message; every part may be null."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(Struct):
    """The one choice; `text` is /v1/completions' own."""

    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: ContentIn | None = None


class Counts(Struct):
    """OpenAI's `usage`."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Timings(Struct):
    """llama.cpp's `timings`; `prompt_n` leaves out what was cached (models.md 4.4)."""

    prompt_n: int = 0
    cache_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class Event(Struct):
    """One `data:` of the stream."""

    choices: list[Choice] | None = None
    usage: Counts | None = None
    timings: Timings | None = None
    error: JsonValue = None


EVENT = msgspec.json.Decoder(Event)


def data_of(line: bytes) -> bytes | None:
    """The data of an SSE line, or None for comments (`: ping`), names and blank lines.

    A bare JSON line counts too: some servers answer 200 and then an error that
    is no event.
    """
    line = line.strip()
    if line.startswith((b"data:", b"error:")):
        return line.partition(b":")[2].strip() or None
    return line if line.startswith(b"{") else None


def chunks_of(choice: Choice, alternatives: int | None = None) -> list[Chunk]:
    """The text of one event, thinking first, with logprobs unless `alternatives` is None."""
    delta = choice.delta or Delta(content=choice.text)
    chunks: list[Chunk] = []
    told = choice.logprobs.content if choice.logprobs else None
    logprobs = logprobs_of(told, alternatives)
    thought = delta.reasoning_content or delta.reasoning
    of_text = bool(delta.content) or not thought
    if thought:
        chunks.append(ThinkingDelta(thought, () if of_text else logprobs))
    if delta.content or (of_text and logprobs):
        chunks.append(TextDelta(delta.content or "", logprobs))
    return chunks


def usage_of(event: Event) -> Usage:
    """What the usage event counts; 0 where it does not."""
    counts, timings = event.usage or Counts(), event.timings or Timings()
    return Usage(
        prompt_tokens=counts.prompt_tokens or timings.prompt_n + timings.cache_n,
        completion_tokens=counts.completion_tokens or timings.predicted_n,
        prompt_ns=int(timings.prompt_ms * MS),
        completion_ns=int(timings.predicted_ms * MS),
    )


class CallParts:
    """Puts calls together by index.

    Some servers give every call index 0 and a new id, others no index at all
    (ollama-api.md section 5, trap 5): a new id always begins a new call.
    """

    def __init__(self) -> None:
        self._parts: list[CallPiece] = []

    def add(self, pieces: list[CallPiece]) -> None:
        """Take some more pieces."""
        for piece in pieces:
            known = self._known(piece)
            if known is None:
                self._parts.append(piece)
            else:
                _extend(known, piece)

    def take(self) -> tuple[Call, ...]:
        """The complete calls; raises UpstreamGarbage for arguments that are no object."""
        calls = tuple(_complete(part) for part in self._parts)
        self._parts = []
        return calls

    def _known(self, piece: CallPiece) -> CallPiece | None:
        for part in reversed(self._parts):
            if piece.index in (None, part.index):
                return None if piece.id and part.id and piece.id != part.id else part
        return None


def _extend(known: CallPiece, piece: CallPiece) -> None:
    known.id = known.id or piece.id
    function, more = known.function or Function(), piece.function or Function()
    function.name = function.name or more.name
    if isinstance(more.arguments, str) and isinstance(function.arguments, str):
        function.arguments += more.arguments
    else:
        function.arguments = more.arguments or function.arguments
    known.function = function


def _complete(part: CallPiece) -> Call:
    function = part.function or Function()
    name = function.name or ""
    return Call(part.id or new_call_id(), name, arguments_of(function.arguments, name))
