"""Tells a webhook one thing, once: no redirect is followed, nothing of the answer is read."""

import httpx

from atoll import __version__
from atoll_supervisor.core.runs.hooks import SIGNATURE, signature_of
from atoll_supervisor.core.runs.records import Webhook

LIMIT = 10.0
"""Seconds for the whole exchange."""


async def post_webhook(webhook: Webhook, body: bytes, run_id: str) -> str:
    """Send the body; why it was not taken, or ""."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"atoll/{__version__}",
        "X-Atoll-Run": run_id,
    }
    if webhook.secret:
        headers[SIGNATURE] = signature_of(webhook.secret, body)
    try:
        # The environment's proxies and .netrc are not for addresses that a client names.
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=LIMIT) as client,
            client.stream("POST", webhook.url, content=body, headers=headers) as answer,
        ):
            return "" if answer.is_success else f"it answered {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as error:
        return f"it cannot be reached ({type(error).__name__})"
