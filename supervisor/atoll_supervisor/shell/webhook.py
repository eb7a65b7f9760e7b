"""Tells webhooks things, each once: no redirect is followed, nothing of an answer is read.

A name is looked up once, and what it stands for is judged and then connected to: a name
that changes its address in between reaches nothing more (row S20 of attacks.md).
"""

import asyncio
import socket

import msgspec

from atoll import __version__
from atoll.adapters.lean_httpx import httpx
from atoll.adapters.tool_threads import ToolThreads
from atoll_supervisor.core.runs.hooks import SIGNATURE, address_fault, signature_of
from atoll_supervisor.core.runs.records import Webhook

LIMIT = 10.0
"""Seconds for one exchange, however slowly its bytes come."""


class Messenger:
    """One client for all webhooks; made when the first is told.

    With `serves_others`, people of other machines may name addresses, and this one's own
    are closed to them.
    """

    def __init__(self, limit: float = LIMIT, *, serves_others: bool = False) -> None:
        self._limit = limit
        self._serves_others = serves_others
        self._making: asyncio.Task[httpx.AsyncClient] | None = None
        self._lookups = ToolThreads()

    def refusal(self, webhook: Webhook) -> str:
        """Why it could never be told, or "": its URL names an address that is told nothing.

        In any spelling of a number. A name is judged each time it is told: it may move.
        """
        try:
            host = httpx.URL(webhook.url).raw_host.decode("ascii")
            found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        except (httpx.InvalidURL, OSError, ValueError):
            return ""
        return address_fault(str(found[0][4][0]), serves_others=self._serves_others)

    async def post(self, webhook: Webhook, body: bytes, run_id: str) -> str:
        """Send the body; why it was not taken, or ""."""
        try:
            async with asyncio.timeout(self._limit):
                return await self._sent(webhook, body, run_id)
        except TimeoutError:
            return f"it did not answer within {self._limit:g} s"
        except socket.gaierror:
            return "nobody knows an address of its host"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return f"it cannot be reached ({type(error).__name__})"

    async def close(self) -> None:
        """Close every connection."""
        if self._making is not None:
            await (await self._making).aclose()

    async def _sent(self, webhook: Webhook, body: bytes, run_id: str) -> str:
        """To the first of its addresses that can be connected to."""
        url = httpx.URL(webhook.url)
        headers = _headers(webhook, body, run_id) | {"Host": url.netloc.decode("ascii")}
        said = "it has no address"
        for address in await self._addresses(url):
            if said := address_fault(address, serves_others=self._serves_others):
                continue
            try:
                return await self._told(url, address, headers, body)
            except httpx.ConnectError:
                said = "it cannot be reached (ConnectError)"
        return said

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """What the host stands for; raises OSError.

        In threads of their own: the loop's are few, the daemon's files need them, and a name
        whose server is silent holds one for half a minute.
        """
        if self._lookups.full:
            raise OSError("no thread is free")
        port = url.port or (443 if url.scheme == "https" else 80)
        named = {"host": url.raw_host.decode("ascii"), "port": port}
        return msgspec.convert(await self._lookups.run(_lookup, named), list[str])

    async def _told(
        self, url: httpx.URL, address: str, headers: dict[str, str], body: bytes
    ) -> str:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_client))
        client = await asyncio.shield(self._making)
        where, named = url.copy_with(host=address), {"sni_hostname": url.raw_host.decode("ascii")}
        async with client.stream(
            "POST", where, content=body, headers=headers, extensions=named
        ) as answer:
            return "" if answer.is_success else f"it answered {answer.status_code}"


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _headers(webhook: Webhook, body: bytes, run_id: str) -> dict[str, str]:
    signed = {SIGNATURE: signature_of(webhook.secret, body)} if webhook.secret else {}
    return {
        "Content-Type": "application/json",
        "User-Agent": f"atoll/{__version__}",
        "X-Atoll-Run": run_id,
        **signed,
    }


def _client() -> httpx.AsyncClient:
    """In a thread: reading every certificate of the machine takes tens of milliseconds.

    The environment's proxies and .netrc are not for addresses that a client names.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=LIMIT, limits=limits)
