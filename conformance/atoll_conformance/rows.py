"""A row of the table: what is checked, what is expected, and the check."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from atoll_conformance.server import Server

Check = Callable[[Server], Awaitable[None]]
"""Returns when the row passes; raises Wrong or Skipped when it does not."""


class Row(Struct, frozen=True):
    """One line of ollama-api.md section 8; `id` is a group's letter and a number from 1."""

    id: str
    title: str
    expected: str
    check: Check
