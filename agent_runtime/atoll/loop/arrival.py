"""How the request that is served came here, for whatever it starts.

Every dialect begins turns and none of them has a word for this, so it goes beside
them in the request's context, where a trace's context usually goes (PEP 567). A
task that the request starts inherits it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from atoll.core.papers import Journey

_journey: ContextVar[Journey | None] = ContextVar("journey", default=None)


@contextmanager
def arriving(journey: Journey) -> Generator[None]:
    """What is started inside came by this journey."""
    token = _journey.set(journey)
    try:
        yield
    finally:
        _journey.reset(token)


def arrived_by() -> Journey | None:
    """The journey of the request that is served, None for one without papers."""
    return _journey.get()
