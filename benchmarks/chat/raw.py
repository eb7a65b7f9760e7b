"""The least a Python server can do: `python -m benchmarks.chat.raw PORT`.

A bare ASGI application under uvicorn with uvloop and httptools. It decodes the
request into the agent's own types and encodes the same answer with msgspec.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime

import msgspec
import uvicorn

from atoll.http.ollama.wire import ChatChunk, ChatRequest, MessageOut

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SAID = "Because of the air."
decode = msgspec.json.Decoder(ChatRequest).decode
encode = msgspec.json.Encoder().encode


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """One POST, one answer; a body comes in one piece here, as the client sends it."""
    message = await receive()
    body = message["body"]
    assert isinstance(body, bytes)
    said = answer(decode(body).model or "")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def answer(model: str) -> bytes:
    """What the agent answers, with figures of the same length."""
    return encode(
        ChatChunk(
            model=model,
            created_at=datetime.now(UTC),
            message=MessageOut("assistant", SAID),
            done=True,
            done_reason="stop",
            total_duration=100_000,
            load_duration=1,
            prompt_eval_count=20,
            prompt_eval_duration=10_000,
            eval_count=20,
            eval_duration=10_000,
        )
    )


def main(port: int) -> None:
    """Serve until SIGTERM."""
    uvicorn.run(
        "benchmarks.chat.raw:app",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
