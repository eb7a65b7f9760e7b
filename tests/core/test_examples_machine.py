"""The machine agent's tools against the machine that the tests run on."""

import os
import re
import socket

import psutil
import pytest
from atoll_agents.machine import tools
from msgspec import ValidationError, convert


def test_cpu_counts_the_cores() -> None:
    assert tools.cpu().startswith(f"{psutil.cpu_count()} cores, ")


def test_memory_tells_all_memory_in_gib() -> None:
    gib = psutil.virtual_memory().total / 1024**3
    assert f"memory: {gib:.1f} GiB in all" in tools.memory()


def test_disks_name_size_and_free_space_of_each_mount_point_once() -> None:
    lines = tools.disks().splitlines()
    assert lines
    assert all(re.fullmatch(r".+ in all, .+ free, \d+ % in use", line) for line in lines)
    assert len({line.split(" (")[0] for line in lines}) == len(lines)


def test_processes_are_sorted_by_memory_and_limited_to_the_count() -> None:
    lines = tools.processes(count=50).splitlines()
    assert any(f"(pid {os.getpid()})" in line for line in lines)
    assert len(tools.processes(count=2).splitlines()) == 2
    assert tools.processes(count=1).split(")")[0] == lines[0].split(")")[0]


def test_processes_sort_by_processor_time_when_asked() -> None:
    lines = tools.processes(count=20, by="cpu").splitlines()
    seconds = [int(found[1]) for line in lines if (found := re.search(r"(\d+) s processor", line))]
    assert seconds == sorted(seconds, reverse=True)
    assert len(seconds) == len(lines)


def test_processes_never_show_a_command_line() -> None:
    """Arguments can hold secrets; only the short name is told."""
    assert " -m pytest" not in tools.processes(count=50)


@pytest.mark.parametrize("count", [0, -1, 51, "many"])
def test_a_count_out_of_range_is_refused_by_the_type(count: object) -> None:
    with pytest.raises(ValidationError):
        convert(count, tools.Count)


def test_uptime_tells_since_when() -> None:
    assert re.fullmatch(
        r"up for \d+ days, \d+ hours, \d+ minutes, since \d{4}-\d\d-\d\d \d\d:\d\d", tools.uptime()
    )


def test_an_open_port_is_listed_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = next(row for row in tools.listening_ports().splitlines() if f" {port} " in row)
    assert line.startswith(f"port {port} on 127.0.0.1 by ")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 * 1024**3, "3.0 GiB"),
        (1024**6, "1024.0 PiB"),
    ],
)
def test_sizes_are_powers_of_1024(count: int, text: str) -> None:
    assert tools._size(count) == text
