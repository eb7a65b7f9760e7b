"""A row as the routes under `/api/v1` give it; Flock's `/agents` gives the whole of it."""

import msgspec

from atoll_supervisor.core.row import Row


class AgentRow(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One agent; times RFC 3339 with zone, sizes in bytes.

    `input_schema`, `output_schema`, `hand_off` and `routing` are never set here: they
    stand in the rows of `GET /agents` alone (DESIGN section 7). No other field
    has a default, so none is left out.
    """


class AgentList(msgspec.Struct, frozen=True):
    """Every agent, sorted by slug."""

    agents: tuple[AgentRow, ...]
    count: int


_NAMES = tuple(field.name for field in msgspec.structs.fields(Row) if field.required)


def agent_row(row: Row) -> AgentRow:
    """The row without Flock's fields."""
    return msgspec.convert({name: getattr(row, name) for name in _NAMES}, AgentRow)
