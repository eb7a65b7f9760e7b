"""Tells webhooks things, each once: no redirect is followed, nothing of an answer is read."""

import asyncio

from atoll import __version__
from atoll.adapters.lean_httpx import httpx
from atoll_supervisor.core.runs.hooks import SIGNATURE, signature_of
from atoll_supervisor.core.runs.records import Webhook

LIMIT = 10.0
"""Seconds for one exchange, however slowly its bytes come."""
AT_ONCE = 20


class Messenger:
    """One client for all webhooks; made when the first is told."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._making: asyncio.Task[httpx.AsyncClient] | None = None
        self._room = asyncio.Semaphore(AT_ONCE)

    async def post(self, webhook: Webhook, body: bytes, run_id: str) -> str:
        """Send the body; why it was not taken, or ""."""
        async with self._room:
            try:
                async with asyncio.timeout(self._limit):
                    return await self._sent(webhook, body, run_id)
            except TimeoutError:
                return f"it did not answer within {self._limit:g} s"
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                return f"it cannot be reached ({type(error).__name__})"

    async def close(self) -> None:
        """Close every connection."""
        if self._making is not None:
            await (await self._making).aclose()

    async def _sent(self, webhook: Webhook, body: bytes, run_id: str) -> str:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"atoll/{__version__}",
            "X-Atoll-Run": run_id,
        }
        if webhook.secret:
            headers[SIGNATURE] = signature_of(webhook.secret, body)
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_client))
        client = await asyncio.shield(self._making)
        async with client.stream("POST", webhook.url, content=body, headers=headers) as answer:
            return "" if answer.is_success else f"it answered {answer.status_code}"


def _client() -> httpx.AsyncClient:
    """In a thread: reading every certificate of the machine takes tens of milliseconds.

    The environment's proxies and .netrc are not for addresses that a client names.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=LIMIT, limits=limits)
