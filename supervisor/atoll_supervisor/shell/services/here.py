"""What the machine that we run on has for services, found by reading."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from atoll_supervisor.core.services.capacity import Machine
from atoll_supervisor.keeper.ground import own_places, read

_NVIDIA = re.compile(r"nvidia[0-9]+", re.ASCII)
_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
"""AMD's compute driver; a node that is a processor has the `gpu_id` 0."""


def this_machine() -> Machine:
    """Processors, memory and GPUs, as far as our control groups let us use them."""
    places = own_places()
    return Machine(
        cpus=cpus_in(places, len(os.sched_getaffinity(0))),
        memory=memory_in(places, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        gpus=gpus_in(Path("/dev"), _KFD),
    )


def cpus_in(places: Mapping[str, Path], there: float) -> float:
    """The processors of `there` that every control group above ours allows."""
    second = (read(group / "cpu.max") for group in _upwards(places, ""))
    first = (
        f"{read(group / 'cpu.cfs_quota_us')} {read(group / 'cpu.cfs_period_us')}"
        for group in _upwards(places, "cpu")
    )
    return min((there, *(quota for text in (*second, *first) for quota in _quota(text))))


def memory_in(places: Mapping[str, Path], there: int) -> int:
    """The bytes of `there` that every control group above ours allows."""
    second = (read(group / "memory.max") for group in _upwards(places, ""))
    first = (read(group / "memory.limit_in_bytes") for group in _upwards(places, "memory"))
    return min((there, *(int(text) for text in (*second, *first) if text.strip().isdecimal())))


def gpus_in(devices: Path, kfd: Path) -> int:
    """How many GPUs there are: the devices of NVIDIA's driver, and AMD's as its driver tells."""
    nvidia = sum(1 for name in _names(devices) if _NVIDIA.fullmatch(name))
    ids = (read(kfd / name / "gpu_id").strip() for name in _names(kfd))
    return nvidia + sum(1 for found in ids if found not in ("", "0"))


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _quota(text: str) -> Iterator[float]:
    """Of `quota period`; "max" or -1 is none."""
    match text.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)
        case _:
            return


def _upwards(places: Mapping[str, Path], name: str) -> Iterator[Path]:
    if name in places:
        yield from (places[name], *places[name].parents)
