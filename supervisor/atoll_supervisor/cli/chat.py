"""One conversation with one agent, over the agent's own `/api/chat` (Ollama's NDJSON)."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import httpx
import msgspec
from msgspec import Struct

from atoll_supervisor.cli.codes import Exit, Failure

_TIMEOUT = httpx.Timeout(10.0, read=None)
"""A model may think for minutes before its first token; Ctrl-C is always there."""


class Call(Struct, frozen=True):
    """The function a tool call names."""

    name: str = ""


class ToolCall(Struct, frozen=True):
    """One tool call of a message."""

    function: Call = Call()


class Said(Struct, frozen=True):
    """A message, or the piece of one that a chunk brings."""

    role: str = "assistant"
    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class Sent(Struct, frozen=True):
    """A message of the conversation as it is sent."""

    role: str
    content: str


class Chunk(Struct, frozen=True):
    """One line of the stream; durations in nanoseconds."""

    message: Said = Said()
    done: bool = False
    error: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class _Refusal(Struct, frozen=True):
    """An error's body, on Ollama's paths and on ours."""

    error: str = ""
    detail: str = ""


def chat(url: str, model: str, messages: Sequence[Sent]) -> Iterator[tuple[Chunk, str]]:
    """Stream an answer: each chunk, decoded and as it came; raises Failure.

    Closing the iterator early hangs up, and that cancels the turn.
    """
    body = msgspec.json.encode({"model": model, "messages": messages, "stream": True})
    with asking(url, "/api/chat", body) as answer:
        if answer.is_error:
            raise Failure(reason(answer))
        yield from _chunks(answer)


@contextmanager
def asking(url: str, path: str, body: bytes) -> Generator[httpx.Response]:
    """The answer of the agent at `url`, as it comes; raises Failure when it breaks off."""
    headers = {"Content-Type": "application/json"}
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, trust_env=False) as http,
            http.stream("POST", f"{url}{path}", content=body, headers=headers) as answer,
        ):
            yield answer
    except httpx.ConnectError:
        raise Failure(f"the agent does not answer at {url}", hint="atoll ps tells why") from None
    except httpx.TimeoutException:
        raise Failure(f"the agent at {url} did not answer in time", Exit.TIMEOUT) from None
    except httpx.HTTPError as error:
        raise Failure(f"the agent at {url} broke off: {error}") from None


def reason(answer: httpx.Response) -> str:
    """What an error answer says."""
    status = answer.status_code
    try:
        said = msgspec.json.decode(answer.read(), type=_Refusal)
    except msgspec.DecodeError:
        return f"the agent answered {status}"
    return said.error or said.detail or f"the agent answered {status}"


def timings(last: Chunk) -> list[str]:
    """What `--verbose` prints, in Ollama's words and order."""
    return [
        f"total duration:       {seconds(last.total_duration)}",
        f"load duration:        {seconds(last.load_duration)}",
        f"prompt eval count:    {last.prompt_eval_count} token(s)",
        f"prompt eval duration: {seconds(last.prompt_eval_duration)}",
        f"prompt eval rate:     {_rate(last.prompt_eval_count, last.prompt_eval_duration)}",
        f"eval count:           {last.eval_count} token(s)",
        f"eval duration:        {seconds(last.eval_duration)}",
        f"eval rate:            {_rate(last.eval_count, last.eval_duration)}",
    ]


def seconds(nanoseconds: int) -> str:
    """A duration with the unit that fits: `850µs`, `12.5ms`, `4.80s`."""
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1_000:g}µs"
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1_000_000:.1f}ms"
    return f"{nanoseconds / 1_000_000_000:.2f}s"


def _rate(count: int, nanoseconds: int) -> str:
    return f"{count * 1e9 / nanoseconds if nanoseconds else 0.0:.2f} tokens/s"


def _chunks(answer: httpx.Response) -> Iterator[tuple[Chunk, str]]:
    for line in answer.iter_lines():
        if not line:
            continue
        chunk = _decoded(line)
        if chunk.error:
            raise Failure(chunk.error)
        yield chunk, line
        if chunk.done:
            return
    raise Failure("the answer broke off before its end")


def _decoded(line: str) -> Chunk:
    try:
        return msgspec.json.decode(line, type=Chunk)
    except msgspec.DecodeError:
        raise Failure("what answers there does not speak Ollama's protocol") from None
