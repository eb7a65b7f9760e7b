"""The whole table, in its order, and how rows are chosen from it."""

from collections.abc import Sequence

from atoll_conformance import a_routes, b_generate, c_chat, d_errors, f_http, g_clients
from atoll_conformance import e_anthropic as anthropic
from atoll_conformance import e_openai as openai
from atoll_conformance.rows import Row

TABLE: tuple[Row, ...] = (
    *a_routes.ROWS,
    *b_generate.ROWS,
    *c_chat.ROWS,
    *d_errors.ROWS,
    *openai.OPENAI,
    *anthropic.MESSAGES,
    openai.ENVELOPE,
    anthropic.ENVELOPE,
    *f_http.ROWS,
    *g_clients.ROWS,
)


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these ids and groups in their order, all for none; ValueError for others."""
    wanted = {name.strip().upper() for name in names if name.strip()}
    known = {row.id for row in TABLE} | {row.id[0] for row in TABLE}
    if wanted - known:
        raise ValueError(f"no row or group is called {min(wanted - known)}; there are A1 to G12")
    return [row for row in TABLE if not wanted or {row.id, row.id[0]} & wanted]
