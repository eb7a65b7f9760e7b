"""Fixtures that every test may use."""

import os

import pytest
from hypothesis import settings

# In CI the same examples each time: a run must not fail by luck. Elsewhere new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio, so the tests do."""
    return "asyncio"
