"""The usual way to watch a fleet: one pooled httpx client that asks each server every second.

`python polling.py PORT...` until it is killed.
"""

import asyncio
import sys

import httpx


async def main(ports: list[str]) -> None:
    """Ask all of them, for ever; a round that takes longer than a second delays the next."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as asker:
        while True:
            rest = asyncio.create_task(asyncio.sleep(1))
            asked = (asker.get(f"http://127.0.0.1:{port}/health") for port in ports)
            await asyncio.gather(*asked, return_exceptions=True)
            await rest


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
