"""Probes of the processes that serve: one kept connection each, no pool."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable

from atoll_supervisor.core import events as ev
from atoll_supervisor.keeper.protocol import Process
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.probe import Prober

Key = tuple[str, int]
"""A unit and the generation of its process."""
Post = Callable[[str, ev.Event], None]
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two questions to a server that does not answer yet; they grow."""


class Probing:
    """The probers by process; what they find comes back as events."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._probers: dict[Key, Prober] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._awaited: set[Key] = set()

    def start(self, state: Process, make: Callable[[str], Prober]) -> None:
        """Ask this process for its health, by a prober that is made for its instance."""
        key = (state.unit, state.generation)
        if key not in self._probers:
            self._probers[key] = make(state.instance)
        self._begin(self._probe(key, self._probers[key]))

    def await_answers(
        self, blueprint: Blueprint | None, states: Iterable[Process], port: int | None
    ) -> None:
        """A service is a foreign server, which says that it is ready by answering."""
        if blueprint is None or blueprint.order is None:
            return
        for state in states:
            key = (state.unit, state.generation)
            if state.stage == "starting" and not state.asked and key not in self._awaited:
                self._awaited.add(key)
                self._begin(self._until_ready(key, blueprint.prober("", port, "")))

    def end(self, key: Key) -> None:
        """Give up the kept connection, which would make a drain wait."""
        self._awaited.discard(key)
        if prober := self._probers.pop(key, None):
            prober.close()

    def close(self) -> None:
        """Give up every connection."""
        for key in (*self._probers, *self._awaited):
            self.end(key)

    def _begin(self, asking: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(asking)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _until_ready(self, key: Key, prober: Prober) -> None:
        slug, generation = key
        pause = FIRST_PAUSE
        while key in self._awaited and not (await prober.probe()).ok:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        prober.close()
        if key in self._awaited:
            self._post(slug, ev.BecameReady(generation))

    async def _probe(self, key: Key, prober: Prober) -> None:
        slug, generation = key
        found = await prober.probe()
        passed, failed = ev.ProbePassed(generation), ev.ProbeFailed(generation, found.reason)
        self._post(slug, passed if found.ok else failed)
