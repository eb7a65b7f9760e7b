"""The `demo` back end: a few fixed skills, and honest about being no language model.

It is there so that a fresh installation answers within milliseconds and every
client, tool and dialect can be tried before any weights are fetched.
"""

import re
from collections.abc import AsyncGenerator

import msgspec

from atoll.adapters.arithmetic import sum_in
from atoll.adapters.demo_tools import call_for
from atoll.adapters.ids import new_call_id
from atoll.adapters.instance import instance_of
from atoll.adapters.stopwatch import Stopwatch, length_of
from atoll.errors import NoEmbeddings
from atoll.ports import (
    CallsDelta,
    Chunk,
    Clock,
    Done,
    Embedded,
    EmbedRequest,
    ModelInfo,
    ModelRequest,
    TextDelta,
)
from atoll.wire.messages import Message, Usage

NAME = "demo"
WHAT_I_AM = (
    "I am ATOLL's built-in demo, a few fixed rules and not a language model. "
    "Run `atoll pull smollm2:135m`, start Ollama, or set [llm] in agent.toml to talk to a real one."
)
CONTEXT = 1_000_000
"""Characters of a conversation cost it nothing; reported so that clients do not cut theirs."""
GIST = 200
"""Characters of a question that are repeated."""

_GREETING = re.compile(r"\s*(hi|hello|hey|good (morning|day|evening)|greetings)\b", re.IGNORECASE)
_ABOUT_TOOLS = re.compile(r"\b(which|what|list|show)\b.*\b(tools?|skills?)\b", re.IGNORECASE)
_PIECES = re.compile(r"\S+\s*|\s+")


class DemoModel:
    """The Model port without a model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def describe(self) -> ModelInfo:
        """Fixed: it is what it is."""
        return ModelInfo(
            backend="demo",
            model=NAME,
            capabilities=("completion", "tools"),
            architecture=NAME,
            context_length=CONTEXT,
        )

    async def ping(self) -> None:
        """Always well."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """One tool call, or the answer word by word, cut at max_tokens words."""
        watch = Stopwatch(self._clock)
        call = call_for(request, new_call_id)
        if call:
            watch.piece()
            yield CallsDelta((call,))
        words = [] if call else _PIECES.findall(_cut_at_stop(answer(request), request.options.stop))
        limit = _limit(request.options.max_tokens)
        for word in words[:limit]:
            watch.piece()
            yield TextDelta(word)
        asked = length_of(request.messages, request.raw_prompt)
        usage = watch.complete(Usage(), asked)
        yield Done("stop" if limit is None or len(words) <= limit else "length", usage)

    async def embed(self, request: EmbedRequest) -> Embedded:  # noqa: ARG002  the port has it
        """It makes none."""
        raise NoEmbeddings

    async def close(self) -> None:
        """Nothing to give up."""


def answer(request: ModelRequest) -> str:
    """What the rules say to a request."""
    text = _reply(request)
    match request.format:
        case None:
            return text
        case "json":
            return msgspec.json.encode({"answer": text}).decode()
        case schema:
            return msgspec.json.encode(instance_of(schema, text)).decode()


def _reply(request: ModelRequest) -> str:
    if request.raw_prompt is not None:
        return _repeated(request.raw_prompt)
    last = request.messages[-1] if request.messages else Message(role="user")
    if last.role == "tool":
        return f"{last.tool_name or 'The tool'} says: {last.content}"
    question = last.content.strip()
    if _ABOUT_TOOLS.search(question):
        return _about_tools(request)
    if result := sum_in(question):
        return f"{result}."
    if not question or _GREETING.match(question):
        return f"Hello! {WHAT_I_AM}"
    return _repeated(question)


def _repeated(question: str) -> str:
    gist = " ".join(question.split())
    if len(gist) > GIST:
        gist = gist[: GIST - 1] + "…"
    return f'You said: "{gist}". {WHAT_I_AM}'


def _about_tools(request: ModelRequest) -> str:
    if not request.tools:
        return f"I have no tools. {WHAT_I_AM}"
    lines = [f"- {tool.name}: {tool.description}".rstrip(": ") for tool in request.tools]
    return "My tools are:\n" + "\n".join(lines)


def _cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first of the stop strings."""
    return text[: min((text.find(s) for s in stop if s and s in text), default=len(text))]


def _limit(max_tokens: int | None) -> int | None:
    return max_tokens if max_tokens is not None and max_tokens >= 0 else None
