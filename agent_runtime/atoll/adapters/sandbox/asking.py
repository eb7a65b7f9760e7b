"""The model as code in the sandbox reaches it: llm_query, under a budget of calls."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from atoll.errors import Busy
from atoll.ports import Done, Model, ModelRequest, Spend, TextDelta
from atoll.wire.messages import Message, Options

AT_ONCE = 8
"""Prompts of one batch that the model gets at once."""


class ModelHost:
    """The CodeHost of one turn: `calls` prompts and no more, however they are asked.

    `spend` is told what each cost, so that it counts for the turn.
    """

    def __init__(self, model: Model, options: Options, calls: int, spend: Spend) -> None:
        self._model = model
        self._options = options
        self._calls = calls
        self._left = calls
        self._spend = spend

    async def ask(self, prompts: Sequence[str]) -> list[str]:
        """The answers in order; raises Busy over the budget and what the model raises."""
        if len(prompts) > self._left:
            left = f"{self._left} of this turn's {self._calls} are left"
            raise Busy(f"{len(prompts)} prompts to the model, and {left}")
        self._left -= len(prompts)
        answers: list[str] = []
        for start in range(0, len(prompts), AT_ONCE):
            some = prompts[start : start + AT_ONCE]
            answers += await asyncio.gather(*map(self._answer, some))
        return answers

    async def _answer(self, prompt: str) -> str:
        request = ModelRequest(
            messages=(Message(role="user", content=prompt),), options=self._options
        )
        said: list[str] = []
        async with aclosing(self._model.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TextDelta):
                    said.append(chunk.text)
                elif isinstance(chunk, Done):
                    self._spend(chunk.usage)
        return "".join(said)
