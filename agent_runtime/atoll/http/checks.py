"""What is checked about the model before anything is generated, in Ollama's words."""

import asyncio
import re
from typing import Literal

from atoll.errors import ClientError, NotFound, UpstreamError
from atoll.loop.agent import Agent
from atoll.ports import ModelInfo
from atoll.wire.turn import TurnRequest

_LIST_TIMEOUT = 3.0
"""Seconds a list waits for the back end; then it shows what is known without it."""

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"(?:[A-Za-z0-9_][A-Za-z0-9_.:-]{{0,349}}/)?(?:{_PART}/)?{_PART}(?::{_PART})?")


def valid_name(model: str) -> bool:
    """Whether `model` is `[host/][namespace/]model[:tag]`."""
    return _NAME.fullmatch(model) is not None


def check_model(agent: Agent, model: str) -> None:
    """Raise NotFound unless the agent answers to `model`, ClientError for what is no name."""
    if model and agent.answers_to(model):
        return
    if model and not valid_name(model):
        raise ClientError("invalid model name")
    raise NotFound(f"model '{model}' not found")


def required(model: str | None) -> str:
    """`model`, which most routes cannot do without."""
    if not model:
        raise ClientError("model is required")
    return model


def check_top_logprobs(number: int | None) -> None:
    """Raise ClientError unless so many alternatives may be asked for."""
    if not 0 <= (number or 0) <= 20:
        raise ClientError("top_logprobs must be between 0 and 20")


async def check_abilities(
    agent: Agent, request: TurnRequest, work: Literal["chat", "generate"] = "chat"
) -> None:
    """Raise ClientError when the request wants what the model cannot do; `work` is its route."""
    info = await agent.describe()
    if "embedding" in info.capabilities and "completion" not in info.capabilities:
        raise ClientError(f'"{request.model}" does not support {work}')
    if request.think and "thinking" not in info.capabilities:
        raise ClientError(f'"{request.model}" does not support thinking')
    images = any(message.images for message in request.messages)
    if images and "vision" not in info.capabilities:
        raise ClientError(f'"{request.model}" does not support vision')


async def known_info(agent: Agent) -> ModelInfo:
    """What is known of the model; a list must come even when the back end does not answer."""
    try:
        async with asyncio.timeout(_LIST_TIMEOUT):
            return await agent.describe()
    except (UpstreamError, TimeoutError):
        identity = agent.identity
        return ModelInfo(backend=identity.backend, model=identity.model_name)
