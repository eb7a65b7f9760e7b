"""One measurement of one contender: the first token, and many."""

import asyncio
import statistics
import time

from benchmarks.token_path.dialects import Dialect

from atoll.adapters.http1 import Place, Pool

PATIENCE = 30.0
WARM_UP = 20


async def first_tokens(port: int, dialect: Dialect, requests: int) -> float:
    """Median seconds from a request to the first token of its answer, one after the other."""
    pool = Pool(Place("127.0.0.1", port))
    took = [await _first(pool, dialect, dialect.body(8)) for _ in range(requests + WARM_UP)]
    pool.close()
    return statistics.median(took[WARM_UP:])


async def _first(pool: Pool, dialect: Dialect, body: bytes) -> float:
    began = time.perf_counter()
    async with pool.ask("POST", dialect.path, dialect.headers, body, PATIENCE) as answer:
        pieces = answer.pieces()
        await anext(pieces)
        took = time.perf_counter() - began
        async for _ in pieces:
            pass
    return took


async def rate(port: int, dialect: Dialect, streams: int, tokens: int) -> float:
    """Tokens a second over so many streams at once."""
    pool = Pool(Place("127.0.0.1", port))
    began = time.perf_counter()
    counted = await asyncio.gather(*(_count(pool, dialect, tokens) for _ in range(streams)))
    took = time.perf_counter() - began
    pool.close()
    if min(counted) < tokens:
        raise SystemExit(f"the server on port {port} sent {min(counted)} of {tokens} tokens")
    return sum(counted) / took


async def _count(pool: Pool, dialect: Dialect, tokens: int) -> int:
    ends, body = 0, dialect.body(tokens)
    async with pool.ask("POST", dialect.path, dialect.headers, body, PATIENCE) as answer:
        async for data in answer.pieces():
            ends += data.count(b"\n")
    return dialect.tokens(ends)
