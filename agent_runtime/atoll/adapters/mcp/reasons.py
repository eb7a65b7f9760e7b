"""Why a connection or a call failed, in a sentence that a log and a model may hold."""

import httpx2
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST
from pydantic import ValidationError

from atoll.adapters.mcp.link import ENDED
from atoll.adapters.mcp.offers import clean

MOST = 300
"""Characters; the words may be the server's."""
SESSION_OVER = "Session terminated"
"""The SDK's words for a 404 to a session's request, which was not carried out."""


def reason_of(error: BaseException) -> str:
    """The first cause inside groups and of a few known kinds, else the exception's own words."""
    leaf = _leaf(error)
    match leaf:
        case TimeoutError():
            return "it did not answer in time"
        case httpx2.ConnectError():
            return "nothing answers at its url"
        case ValidationError():
            return "its answer breaks the protocol"
        case MCPError() if is_closed(leaf):
            return ENDED
        case MCPError():
            return clean(leaf.error.message)[:MOST] or f"error {leaf.error.code}"
        case _:
            words = clean(str(leaf))[:MOST]
            return words or type(leaf).__name__


def is_closed(error: BaseException) -> bool:
    """Whether the connection is over."""
    return isinstance(error, MCPError) and error.error.code == CONNECTION_CLOSED


def is_session_over(error: BaseException) -> bool:
    """Whether the server forgot our session, as one does that was restarted."""
    if not isinstance(error, MCPError):
        return False
    return error.error.code == INVALID_REQUEST and error.error.message == SESSION_OVER


def _leaf(error: BaseException) -> BaseException:
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _leaf(inner[0]) if inner else error
