"""What the machine has, read from its files."""

import os
from pathlib import Path

import psutil

from atoll_supervisor.shell.services.here import cpus_in, gpus_in, memory_in, this_machine


def write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def test_this_machine_has_no_more_than_the_kernel_tells() -> None:
    here = this_machine()
    assert 0 < here.cpus <= len(os.sched_getaffinity(0))
    assert 0 < here.memory <= psutil.virtual_memory().total


def test_gpus_are_counted_by_their_drivers(tmp_path: Path) -> None:
    """NVIDIA's control devices are none, and AMD's first nodes are processors."""
    devices, kfd = tmp_path / "dev", tmp_path / "kfd"
    assert gpus_in(devices, kfd) == 0
    for name in ("nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "null"):
        write(devices / name, "")
    for name, number in (("0", "0\n"), ("1", "4711\n")):
        write(kfd / name / "gpu_id", number)
    assert gpus_in(devices, kfd) == 3


def test_the_tightest_control_group_above_us_counts(tmp_path: Path) -> None:
    second, first = tmp_path / "v2/a/b", tmp_path / "v1/c"
    write(second / "memory.max", "max\n")
    write(second.parent / "memory.max", "4096\n")
    write(first / "memory.limit_in_bytes", "9223372036854771712\n")
    write(second / "cpu.max", "150000 100000\n")
    write(second.parent / "cpu.max", "max 100000\n")
    write(first / "cpu.cfs_quota_us", "-1\n")
    write(first / "cpu.cfs_period_us", "100000\n")
    places = {"": second, "memory": first, "cpu": first}
    assert (memory_in(places, 8192), cpus_in(places, 2)) == (4096, 1.5)
    write(first / "cpu.cfs_quota_us", "50000\n")
    write(first / "memory.limit_in_bytes", "1024\n")
    assert (memory_in(places, 8192), cpus_in(places, 2)) == (1024, 0.5)
    assert (memory_in({}, 8192), cpus_in({}, 2)) == (8192, 2)
