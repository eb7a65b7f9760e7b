"""Probes of the processes that serve: one kept connection each, no pool."""

import asyncio
from collections.abc import Callable

from atoll_supervisor.core import events as ev
from atoll_supervisor.shell.probe import Address, Prober

Key = tuple[str, int]
"""A unit and the generation of its process."""
Post = Callable[[str, ev.Event], None]


class Probing:
    """The probers by process; what they find comes back as events."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._probers: dict[Key, Prober] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def start(self, key: Key, address: Address, instance: str) -> None:
        """Ask this process, which answers with its `instance` ("" to take any), for its health."""
        if key not in self._probers:
            self._probers[key] = Prober(address, instance)
        task = asyncio.get_running_loop().create_task(self._probe(key, self._probers[key]))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def end(self, key: Key) -> None:
        """Give up the kept connection, which would make a drain wait."""
        if prober := self._probers.pop(key, None):
            prober.close()

    def close(self) -> None:
        """Give up every connection."""
        for key in list(self._probers):
            self.end(key)

    async def _probe(self, key: Key, prober: Prober) -> None:
        slug, generation = key
        found = await prober.probe()
        passed, failed = ev.ProbePassed(generation), ev.ProbeFailed(generation, found.reason)
        self._post(slug, passed if found.ok else failed)
