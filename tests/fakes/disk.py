"""A small disk of its own for a daemon, which a test can fill: a tmpfs in a mount namespace."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fakes.daemon import Daemon

MOUNT = 'mount -t tmpfs -o size="$2"k,mode=700 small "$1" && echo mounted && exec sleep 600'


class Disk:
    """A tmpfs at `place`, seen only by what runs behind `prefix`, and by us through `seen`."""

    def __init__(self, place: Path, holder: int) -> None:
        self.place = place
        self.seen = Path(f"/proc/{holder}/root{place}")
        self.prefix = ("nsenter", "-m", "-t", str(holder), "--")
        self._filler = self.seen / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        fd = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (65_536, 4096, 1):
                with suppress(_Full):
                    while True:
                        _write(fd, bytes(size))
        finally:
            os.close(fd)

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink()


class _Full(Exception):
    """There is no space left."""


def _write(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _Full from None


@contextmanager
def small_disk(kib: int = 4096) -> Iterator[Disk]:
    """A disk of that size for as long as the block lasts; needs root, unshare and nsenter."""
    with tempfile.TemporaryDirectory(prefix="atoll-disk-") as place:
        holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNT, "sh", place, str(kib)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"mounted\n"
            yield Disk(Path(place), holder.pid)
        finally:
            holder.kill()
            holder.communicate()


class OnDisk(Daemon):
    """A daemon whose state, sockets and logs are on such a disk."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        super().__init__(folder)
        self.disk = disk
        self.prefix = disk.prefix
        self.state = disk.seen / "s"

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"ATOLL_STATE_DIR": str(self.disk.place / "s")}

    @property
    def keeper_socket(self) -> Path:
        return self.state / "run" / "keeper.sock"
