"""Facts about this computer, read with psutil; nothing here changes anything.

Answers are sentences and short lines rather than JSON: they cost few tokens,
and the smallest models can repeat them. Sizes are powers of 1024.
"""

import time
from typing import Annotated, Literal

import psutil
from msgspec import Meta

_PSEUDO = frozenset({"squashfs", "overlay", "tmpfs", "devtmpfs"})
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_MAX_PORTS = 40

Count = Annotated[int, Meta(ge=1, le=50)]


def cpu() -> str:
    """Tell how many processor cores there are and how busy they are now."""
    busy = psutil.cpu_percent(interval=0.3)
    load = ", ".join(f"{value:.2f}" for value in psutil.getloadavg())
    return f"{psutil.cpu_count()} cores, {busy:.0f} % busy; load of 1, 5, 15 minutes: {load}"


def memory() -> str:
    """Tell how much memory and swap there is, in use and available."""
    ram, swap = psutil.virtual_memory(), psutil.swap_memory()
    return (
        f"memory: {_size(ram.total)} in all, {_size(ram.available)} available, "
        f"{ram.percent:.0f} % in use; swap: {_size(swap.used)} of {_size(swap.total)} in use"
    )


def disks() -> str:
    """Tell size and free space of every mounted disk."""
    lines = [_disk(device, mountpoint) for device, mountpoint in _partitions()]
    return "\n".join(line for line in lines if line) or _disk("root", "/")


def processes(count: Count = 5, by: Literal["memory", "cpu"] = "memory") -> str:
    """List the processes that use the most memory or processor time.

    Args:
        count: how many to list
        by: what to sort by; cpu is the processor time used since each began
    """
    rows = sorted(_process_rows(), key=lambda row: row[by == "cpu"], reverse=True)[:count]
    return "\n".join(
        f"{name} (pid {pid}): {_size(rss)} memory, {seconds:.0f} s processor time"
        for rss, seconds, pid, name in rows
    )


def uptime() -> str:
    """Tell since when this computer has been running and for how long."""
    boot = psutil.boot_time()
    days, rest = divmod(int(time.time() - boot), 86_400)
    hours, rest = divmod(rest, 3_600)
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(boot))
    return f"up for {days} days, {hours} hours, {rest // 60} minutes, since {since}"


def listening_ports() -> str:
    """List the TCP ports that programs on this computer listen on."""
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "this system shows open ports to administrators only"
    lines = sorted(
        {
            (conn.laddr.port, f"port {conn.laddr.port} on {conn.laddr.ip}{_owner(conn.pid)}")
            for conn in found
            if conn.status == psutil.CONN_LISTEN and conn.laddr
        }
    )
    more = [f"and {len(lines) - _MAX_PORTS} more"] if len(lines) > _MAX_PORTS else []
    return "\n".join([text for _, text in lines[:_MAX_PORTS]] + more) or "no port is open"


def _partitions() -> list[tuple[str, str]]:
    """Device and mount point, each device once, at the shortest of its mount points."""
    real = [part for part in psutil.disk_partitions(all=False) if part.fstype not in _PSEUDO]
    places = sorted(((part.device, part.mountpoint) for part in real), key=lambda row: -len(row[1]))
    return sorted(dict(places).items(), key=lambda row: row[1])


def _disk(device: str, mountpoint: str) -> str:
    """One line, or "" for a disk that cannot be looked at (an ejected medium, say)."""
    try:
        usage = psutil.disk_usage(mountpoint)
    except OSError:
        return ""
    return (
        f"{mountpoint} ({device}): {_size(usage.total)} in all, {_size(usage.free)} free, "
        f"{usage.percent:.0f} % in use"
    )


def _process_rows() -> list[tuple[int, float, int, str]]:
    """Resident bytes, processor seconds, pid and name of all that may be looked at."""
    fields = ["pid", "name", "memory_info", "cpu_times"]
    found = (process.info for process in psutil.process_iter(fields))
    return [
        (info["memory_info"].rss, sum(info["cpu_times"][:2]), info["pid"], info["name"])
        for info in found
        if info["memory_info"] and info["cpu_times"]
    ]


def _owner(pid: int | None) -> str:
    """Say ` by NAME`, or "" where the system does not say whose port it is."""
    try:
        return f" by {psutil.Process(pid).name()}" if pid else ""
    except psutil.Error:
        return ""


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
