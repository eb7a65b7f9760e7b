"""The sessions that a caller may be told of.

The id of a session is the key to it: who knows it may read, go on with and delete it. So
lists tell whole ids only where an agent has a token, which everybody who asks has shown
then; elsewhere their beginning, or two callers would see each other's words (AT18).
"""

import msgspec
from litestar import Litestar

from atoll.http.access import agent_of, is_private
from atoll.ports import SessionInfo

BEGINNING = 4
"""Characters of an id that a list shows; what is left of one we made cannot be guessed."""


async def listed(app: Litestar) -> tuple[SessionInfo, ...]:
    """Every live session, the last used first; ids that are cut short end with an ellipsis."""
    found = await agent_of(app).sessions.listed()
    return found if is_private(app) else tuple(map(_shortened, found))


def _shortened(info: SessionInfo) -> SessionInfo:
    return msgspec.structs.replace(info, id=f"{info.id[:BEGINNING]}…")
