"""A process that records events as fast as it can, to be killed: `python writer.py <database>`.

Prints the id of the newest event that it knows to be on the disk.
"""

import asyncio
import sys
from pathlib import Path

from atoll_supervisor.core.effects import Record
from atoll_supervisor.shell.event_log import EventLog


async def main(path: Path) -> None:
    log = EventLog(path)
    record = Record(before="starting", after="running", cause="it is ready", generation=1)
    while True:
        for _ in range(20):
            newest = log.record("one", record).id
        await asyncio.sleep(0.01)
        print(newest, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
