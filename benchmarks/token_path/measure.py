"""One measurement of one contender: the first token, and many."""

import asyncio
import json
import statistics
import time

from atoll.adapters.http1 import Place, Pool, Unreachable
from atoll.adapters.http1_connection import Broken

HEADERS = ((b"content-type", b"application/json"),)
PATIENCE = 30.0
WARM_UP = 20


def chat(tokens: int) -> bytes:
    """A streamed chat that is to get so many tokens."""
    return json.dumps(
        {
            "model": "fast",
            "messages": [{"role": "user", "content": "Say something."}],
            "options": {"num_predict": tokens},
        }
    ).encode()


async def serves(port: int) -> bool:
    """Whether it answers."""
    pool = Pool(Place("127.0.0.1", port))
    try:
        async with pool.ask("GET", "/api/version", (), None, PATIENCE) as answer:
            await answer.whole(1 << 16)
    except (Unreachable, Broken):
        return False
    finally:
        pool.close()
    return True


async def first_tokens(port: int, requests: int) -> float:
    """Median seconds from a request to the first token of its answer, one after the other."""
    pool = Pool(Place("127.0.0.1", port))
    body = chat(8)
    took = [await _first(pool, body) for _ in range(requests + WARM_UP)]
    pool.close()
    return statistics.median(took[WARM_UP:])


async def _first(pool: Pool, body: bytes) -> float:
    began = time.perf_counter()
    async with pool.ask("POST", "/api/chat", HEADERS, body, PATIENCE) as answer:
        pieces = answer.pieces()
        await anext(pieces)
        took = time.perf_counter() - began
        async for _ in pieces:
            pass
    return took


async def rate(port: int, streams: int, tokens: int) -> float:
    """Tokens a second over so many streams at once."""
    pool = Pool(Place("127.0.0.1", port))
    began = time.perf_counter()
    counted = await asyncio.gather(*(_count(pool, tokens) for _ in range(streams)))
    took = time.perf_counter() - began
    pool.close()
    if min(counted) < tokens:
        raise SystemExit(f"the server on port {port} sent {min(counted)} of {tokens} tokens")
    return sum(counted) / took


async def _count(pool: Pool, tokens: int) -> int:
    lines = 0
    async with pool.ask("POST", "/api/chat", HEADERS, chat(tokens), PATIENCE) as answer:
        async for data in answer.pieces():
            lines += data.count(b"\n")
    return lines - 1  # the last line has the figures
