"""Tells webhooks how runs ended: each until it has heard, over restarts of the daemon too.

A run that waits for its webhook is read again for each try: a webhook that never answers is
tried for more than an hour, and no stranger's runs may fill the memory meanwhile.
"""

import asyncio
import logging
from collections.abc import Collection

import msgspec

from atoll.errors import ClientError
from atoll_supervisor.core.runs.hooks import WAITS
from atoll_supervisor.core.runs.records import Run, Webhook
from atoll_supervisor.core.runs.view import body_of
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.webhook import Messenger

AT_ONCE = 20
"""Webhooks that are told at once."""
_log = logging.getLogger("atoll.runs")


class Hooks:
    """The webhooks that have still to hear; `waits` are seconds between tries."""

    def __init__(
        self, store: RunStore, messenger: Messenger, waits: tuple[float, ...] = WAITS
    ) -> None:
        self._store = store
        self._waits = waits
        self._messenger = messenger
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def judge(self, webhooks: Collection[Webhook | None]) -> None:
        """Refuse those that could never be told; raises ClientError."""
        for webhook in webhooks:
            if webhook is not None and (fault := self._messenger.refusal(webhook)):
                raise ClientError(f"webhook.url: {fault}")

    def tell(self, run: Run) -> None:
        """Tell the run's webhook, if it has one, how the run ended."""
        if run.plan.webhook is not None:
            self._begin(run.plan.run_id)

    async def take_up(self) -> None:
        """Tell what a daemon before could not; raises NotKept."""
        for run_id in await self._store.untold():
            self._begin(run_id)

    async def close(self) -> None:
        """Leave the rest to the next daemon."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._messenger.close()

    def _begin(self, run_id: str) -> None:
        if run_id not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._told(run_id))
            self._tasks[run_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def _told(self, run_id: str) -> None:
        for wait in (*self._waits, None):
            fault = await self._try(run_id)
            if not fault:
                break
            _log.warning("the webhook of run %s was not told: %s", run_id, fault)
            if wait is not None:
                await asyncio.sleep(wait)
        try:
            await self._store.heard(run_id)
        except NotKept:
            return

    async def _try(self, run_id: str) -> str:
        """Why it was not told, or ""; nobody is told of a run that was deleted meanwhile."""
        async with self._room:
            try:
                run = await self._store.load(run_id)
            except NotKept as error:
                return str(error)
            if run is None or run.plan.webhook is None:
                return ""
            body = msgspec.json.encode(body_of(run))
            return await self._messenger.post(run.plan.webhook, body, run_id)
