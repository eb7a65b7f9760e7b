"""What the agent needs from the outside world, as small protocols.

The loop knows these and no adapter; tests put fakes here and nowhere else.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct

from atoll.wire.logprobs import Logprob
from atoll.wire.memory import Memory
from atoll.wire.messages import Call, Format, Message, Options, Think, ToolSpec, Usage

Backend = Literal["ollama", "openai", "local", "demo", "scripted"]
Capability = Literal["completion", "tools", "insert", "vision", "embedding", "thinking"]


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What a back end truthfully says of its model; 0 and "" mean unknown.

    `context_length` is in tokens, `size` in bytes. "tools" is in
    `capabilities` only when the model calls tools natively.
    """

    backend: Backend
    model: str
    capabilities: tuple[Capability, ...] = ("completion",)
    architecture: str = ""
    context_length: int = 0
    embedding_length: int = 0
    parameter_size: str = ""
    quantization: str = ""
    size: int = 0


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One call of a model.

    `raw_prompt` sends that text alone, without a chat template, and leaves
    `messages` unused; with `suffix` what is wanted is the text between the two,
    from a model that can "insert". `keep_alive` is Ollama's, passed on where it means
    something: seconds, or a Go duration. A back end without logprobs leaves
    `logprobs` unheard; `top_logprobs` alternatives are wanted for each, 0 to 20.
    """

    messages: tuple[Message, ...] = ()
    options: Options = Options()
    tools: tuple[ToolSpec, ...] = ()
    format: Format = None
    think: Think = None
    raw_prompt: str | None = None
    suffix: str = ""
    keep_alive: float | str | None = None
    logprobs: bool = False
    top_logprobs: int = 0


class TextDelta(Struct, frozen=True):
    """Some more of the answer, never half a character; with logprobs it may be empty."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class ThinkingDelta(Struct, frozen=True):
    """Some more of the model's thinking, as a TextDelta."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class CallsDelta(Struct, frozen=True):
    """Complete tool calls; arguments are parsed and are objects."""

    calls: tuple[Call, ...]


class Done(Struct, frozen=True):
    """The last chunk: why the model stopped and what it cost."""

    reason: Literal["stop", "length"]
    usage: Usage


Chunk = TextDelta | ThinkingDelta | CallsDelta | Done


class EmbedRequest(Struct, frozen=True, kw_only=True):
    """Texts to be embedded, at least one.

    `truncate` cuts what is longer than the model can take, where the back end
    knows how; without it that is a ClientError. `dimensions` None means all; a
    back end may leave it to the caller to cut. `keep_alive` is in seconds.
    """

    inputs: tuple[str, ...]
    truncate: bool = True
    dimensions: int | None = None
    options: Options = Options()
    keep_alive: float | None = None


class Embedded(Struct, frozen=True, kw_only=True):
    """One vector for each input, in their order and of any length; `load_ns` 0 is unknown."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    load_ns: int = 0


class Model(Protocol):
    """A language model behind some server, or none at all (`demo`, `scripted`)."""

    async def describe(self) -> ModelInfo:
        """Ask the back end about the model; raises UpstreamError when it cannot be reached."""
        ...

    async def ping(self) -> None:
        """Return when the back end can take work; raises UpstreamError otherwise. Cheap."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Generate; ends with exactly one Done, or raises UpstreamError.

        Closing the generator early cancels the generation at the back end.
        """
        ...

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Turn texts into vectors; raises NoEmbeddings, ClientError, Busy or UpstreamError."""
        ...

    async def close(self) -> None:
        """Give up every connection."""
        ...


class Outcome(Struct, frozen=True):
    """What a tool call came to: text for the model, and whether it failed.

    A tool that gives a `final` answer ends the turn with it.
    """

    text: str
    failed: bool = False
    final: str | None = None


class Toolbox(Protocol):
    """The agent's own tools."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that exist for the model, after the allow list."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is wrong with the tools now, in sentences for the person; mostly empty."""
        ...

    async def call(self, call: Call) -> Outcome:
        """Run one tool; every fault of the tool comes back as a failed Outcome."""
        ...

    async def close(self) -> None:
        """Give up connections and processes."""
        ...


class SessionInfo(Struct, frozen=True, kw_only=True):
    """What is known of a session without its words; times in seconds since the epoch."""

    id: str
    created_at: float
    used_at: float
    messages: int
    tokens: int = 0

    @property
    def turns(self) -> int:
        """How many questions it holds that were answered."""
        return self.messages // 2


class CodeOutcome(Struct, frozen=True, kw_only=True):
    """What a piece of code came to.

    `output` is what it printed, `value` the repr of its last expression, `error`
    its traceback or why it was ended; "" is none. `submitted` is what it gave to
    SUBMIT. `lost` tells that the namespace is gone: the next code finds it empty.
    """

    output: str = ""
    value: str = ""
    error: str = ""
    submitted: str | None = None
    lost: bool = False


class CodeHost(Protocol):
    """What code in a sandbox may ask of the agent outside."""

    async def ask(self, prompts: Sequence[str]) -> Sequence[str]:
        """The model's answer to each prompt; raises AtollError, Busy over the budget."""
        ...


class CodeSpace(Protocol):
    """A namespace in a sandbox; it lasts until it is closed or lost."""

    async def run(self, code: str, host: CodeHost) -> CodeOutcome:
        """Run Python; one piece after the other. Cancelling the caller interrupts the code.

        Raises AgentError when a lost sandbox cannot be begun anew.
        """
        ...

    def interrupt(self) -> None:
        """Stop the code that runs now; the variables stay."""
        ...

    async def close(self) -> None:
        """End everything in it."""
        ...


class CodeEngine(Protocol):
    """A kind of sandbox."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def language(self) -> str:
        """What the model should know of the Python in it, in a sentence."""
        ...

    @property
    def unenforced(self) -> Sequence[str]:
        """Which limits do not hold here, in sentences."""
        ...

    async def open(self) -> CodeSpace:
        """An empty namespace; raises AgentError."""
        ...

    async def close(self) -> None:
        """Give up what is kept ready; open namespaces are their owners' to close."""
        ...


Spend = Callable[[Usage], None]
"""Counts what was used into a turn."""


class CodeTurns(Protocol):
    """The tool execute_code, with a namespace for each session."""

    def turn(
        self, rest: Toolbox, session: str, spend: Spend
    ) -> AbstractAsyncContextManager[Toolbox]:
        """The agent's tools and execute_code beside them, for one turn.

        Turns of one session share a namespace; without a session ("") it lasts for the turn.
        `spend` is told what the code's own questions to the model cost.
        """
        ...

    async def close(self) -> None:
        """End every namespace."""
        ...


class SessionStore(Protocol):
    """Conversations that outlive a request; written before they are acknowledged.

    Every method may raise AgentError: the place where they are kept can fail.
    """

    async def load(self, session_id: str) -> tuple[Message, ...] | None:
        """The messages of a live session, or None when it is unknown or expired."""
        ...

    async def save(self, session_id: str, messages: Sequence[Message]) -> None:
        """Keep a conversation of which nothing but the messages is to be remembered."""
        ...

    async def recall(self, session_id: str) -> Memory | None:
        """All that is remembered of a live session, or None when it is unknown or expired."""
        ...

    async def keep(self, session_id: str, memory: Memory) -> None:
        """Store all of it at once and renew the session's time limit.

        Raises TooLarge for a conversation that is too long to be kept.
        """
        ...

    async def note(self, session_id: str, memory: Memory) -> None:
        """Store summary and tokens of a live session, which does not live longer for it."""
        ...

    async def about(self, session_id: str) -> SessionInfo | None:
        """What is known of a live session, or None; asking does not extend its life."""
        ...

    async def listed(self) -> tuple[SessionInfo, ...]:
        """Every live session, the last used first."""
        ...

    async def delete(self, session_id: str) -> bool:
        """Forget a session; False when there is no such live one."""
        ...

    async def count(self) -> int:
        """How many sessions are alive."""
        ...

    async def cleanup(self) -> int:
        """Delete the expired sessions and say how many they were."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...


class Clock(Protocol):
    """Time, so that tests can hold it still."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...
