"""What most people would write: `python with_fastapi.py PORT`, in the scratch environment.

FastAPI with pydantic's models for the same request and the same answer, under
the same uvicorn with uvloop and httptools.
"""

import sys
from datetime import UTC, datetime
from importlib import import_module

import uvicorn
from pydantic import BaseModel

SAID = "Because of the air."


class MessageIn(BaseModel):
    """One message of a request."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class ChatRequest(BaseModel):
    """`POST /api/chat`."""

    model: str | None = None
    stream: bool | None = None
    format: object = None
    keep_alive: float | str | None = None
    options: dict[str, object] | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    messages: list[MessageIn] | None = None


class MessageOut(BaseModel):
    """The message of an answer."""

    role: str
    content: str


class ChatAnswer(BaseModel):
    """An answer in one piece."""

    model: str
    created_at: datetime
    message: MessageOut
    done: bool
    done_reason: str
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    prompt_eval_duration: int
    eval_count: int
    eval_duration: int


async def chat(request: ChatRequest) -> ChatAnswer:
    """What the agent answers, with figures of the same length."""
    return ChatAnswer(
        model=request.model or "",
        created_at=datetime.now(UTC),
        message=MessageOut(role="assistant", content=SAID),
        done=True,
        done_reason="stop",
        total_duration=100_000,
        load_duration=1,
        prompt_eval_count=20,
        prompt_eval_duration=10_000,
        eval_count=20,
        eval_duration=10_000,
    )


def main(port: int) -> None:
    """Serve until SIGTERM."""
    app = import_module("fastapi").FastAPI()  # it is nowhere but in the scratch environment
    app.add_api_route("/api/chat", chat, methods=["POST"])
    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
