"""How the daemon's routes read requests: JSON as the agents do, and each parameter once."""

from collections import Counter

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from atoll.errors import ClientError
from atoll.http.decoding import decode
from atoll.wire.json import JsonValue

_anything: msgspec.json.Decoder[JsonValue] = msgspec.json.Decoder()


class LenientRequest(Request[object, object, State]):
    """A request whose body may hold half an emoji, which Litestar's own reading refuses."""

    async def json(self) -> JsonValue:
        """The body's value; raises ClientError."""
        return decode(_anything, await self.body())


def each_once(
    connection: ASGIConnection[BaseRouteHandler, object, object, State], handler: BaseRouteHandler
) -> None:
    """A Litestar guard: of a parameter given twice, one would be dropped in silence.

    Raises ClientError. What the route does not know stays without meaning, however often.
    """
    given = Counter(name for name, _ in connection.query_params.multi_items())
    for name in handler.parsed_fn_signature.parameters:
        if given[name] > 1:
            raise ClientError(f"{name}: it is given twice; ask once for each")
