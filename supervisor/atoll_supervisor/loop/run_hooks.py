"""Tells webhooks how runs ended: each until it has heard, over restarts of the daemon too."""

import asyncio
import logging

import msgspec

from atoll_supervisor.core.runs.hooks import WAITS
from atoll_supervisor.core.runs.records import Run, Webhook
from atoll_supervisor.core.runs.view import body_of
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.webhook import Messenger

_log = logging.getLogger("atoll.runs")


class Hooks:
    """The webhooks that have still to hear; `waits` are seconds between tries."""

    def __init__(
        self, store: RunStore, messenger: Messenger, waits: tuple[float, ...] = WAITS
    ) -> None:
        self._store = store
        self._waits = waits
        self._messenger = messenger
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def tell(self, run: Run) -> None:
        """Tell the run's webhook, if it has one, how the run ended."""
        run_id, webhook = run.plan.run_id, run.plan.webhook
        if webhook is None or run_id in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._told(run, webhook))
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def take_up(self) -> None:
        """Tell what a daemon before could not; raises NotKept."""
        for run in await self._store.untold():
            self.tell(run)

    async def close(self) -> None:
        """Leave the rest to the next daemon."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._messenger.close()

    async def _told(self, run: Run, webhook: Webhook) -> None:
        body = msgspec.json.encode(body_of(run))
        for wait in (*self._waits, None):
            fault = await self._messenger.post(webhook, body, run.plan.run_id)
            if not fault:
                break
            _log.warning("the webhook of run %s was not told: %s", run.plan.run_id, fault)
            if wait is not None:
                await asyncio.sleep(wait)
        try:
            await self._store.heard(run.plan.run_id)
        except NotKept:
            return
