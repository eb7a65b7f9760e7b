"""Fixtures that every test may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio, so the tests do."""
    return "asyncio"
