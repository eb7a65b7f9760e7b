"""Agents that the contract tests talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.asking import THINKER
from tests.fakes.ports import USAGE, FakeModel, text
from tests.fakes.serving import Served, serving


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(*[text("Hel", "lo ", "wörld")] * 4)


@pytest.fixture
def served(model: FakeModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


@pytest.fixture
def thinker(tmp_path: Path) -> Iterator[Served]:
    reply: list[Chunk] = [ThinkingDelta("hmm"), TextDelta("yes"), Done("stop", USAGE)]
    with serving(FakeModel(*[reply] * 4, info=THINKER), tmp_path) as served:
        yield served


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Served]:
    """A model that dies after its first word."""

    class Dying(FakeModel):
        async def stream(self, request):
            yield TextDelta("Once")
            raise UpstreamRefused("the model's server went away")

    with serving(Dying(), tmp_path) as served:
        yield served


def two_calls() -> list[Chunk]:
    first = Call("call_aaaaaaaa", "weather", {"city": "Rome", "unit": "C", "a": 1})
    second = Call("call_bbbbbbbb", "weather", {"city": "Oslo"})
    return [CallsDelta((first, second)), Done("stop", USAGE)]


@pytest.fixture
def calling(tmp_path: Path) -> Iterator[tuple[Served, FakeModel]]:
    model = FakeModel(two_calls(), text("done"), info=THINKER)
    with serving(model, tmp_path) as served:
        yield served, model
