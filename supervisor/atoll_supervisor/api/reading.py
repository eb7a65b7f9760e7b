"""How the daemon's routes read JSON: as the agents' do."""

import msgspec
from litestar import Request
from litestar.datastructures import State

from atoll.http.decoding import decode
from atoll.wire.json import JsonValue

_anything: msgspec.json.Decoder[JsonValue] = msgspec.json.Decoder()


class LenientRequest(Request[object, object, State]):
    """A request whose body may hold half an emoji, which Litestar's own reading refuses."""

    async def json(self) -> JsonValue:
        """The body's value; raises ClientError."""
        return decode(_anything, await self.body())
