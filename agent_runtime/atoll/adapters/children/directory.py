"""The fleet as its daemon tells of it; agents go on without the daemon, by what it told last."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from atoll.adapters.peer import Peer
from atoll.adapters.upstream import Upstream
from atoll.core.finding import NoChild, Seen
from atoll.errors import AtollError, UpstreamError

YOUNG = 1.0
"""Seconds for which an answer of the daemon is good: a fan-out asks once."""
WITHIN = 5.0
"""Seconds that the daemon has to answer."""
_REMEDY = "start the fleet with `atoll up`, or name the child by its url"


class _List(Struct):
    agents: tuple[Seen, ...]


class Directory:
    """Asks the daemon at `url`, once for all who want to know at the same time.

    `busy` counts this agent's own calls under way, by the slug of the child.
    """

    def __init__(self, url: str) -> None:
        self.busy: Counter[str] = Counter()
        peer = Peer(name="the fleet's daemon", url=url, remedy=_REMEDY, timeout=WITHIN)
        self._upstream = Upstream(peer)
        self._rows: Sequence[Seen] = ()
        self._at = self._asked_at = float("-inf")
        self._look: asyncio.Task[None] | None = None

    @property
    def last(self) -> Sequence[Seen]:
        """What it told last."""
        return self._rows

    async def rows(self, young: float = YOUNG) -> Sequence[Seen]:
        """The agents of the fleet, told at most `young` seconds ago if the daemon answers.

        Raises NoChild when it does not and never did.
        """
        now = asyncio.get_running_loop().time()
        if now - self._at >= young:
            if self._look is None or self._look.done():
                self._asked_at = now
                self._look = asyncio.create_task(self._ask())
                self._look.add_done_callback(_seen)
            try:
                await asyncio.shield(self._look)
            except AtollError as error:
                if not self._rows:
                    raise NoChild(str(error)) from None
        return self._rows

    async def known(self, young: float, within: float) -> None:
        """Look again if the last look is old, for so many seconds at most; never raises.

        A daemon that did not answer is not asked for this again so soon.
        """
        if asyncio.get_running_loop().time() - self._asked_at < young:
            return
        with suppress(AtollError, TimeoutError):
            async with asyncio.timeout(within):
                await self.rows(young)

    async def close(self) -> None:
        """Give up the connection."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait((self._look,))
        await self._upstream.close()

    async def _ask(self) -> None:
        told = await self._upstream.fetch("GET", "/api/v1/agents", within=WITHIN)
        try:
            self._rows = msgspec.json.decode(told, type=_List).agents
        except msgspec.DecodeError as error:
            raise UpstreamError(f"{self._upstream.peer.where} is no daemon: {error}") from None
        self._at = asyncio.get_running_loop().time()


def _seen(look: asyncio.Task[None]) -> None:
    """Whoever waited for it may be gone: its fault is nobody's then."""
    if not look.cancelled():
        look.exception()
