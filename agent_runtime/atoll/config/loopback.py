"""Which addresses only this machine can reach: both faces ask it before they bind."""

import ipaddress
from functools import lru_cache

FIRST_PORT = 1024
"""Ports below are privileged: no agent and no daemon listens there."""
LAST_PORT = 65535


@lru_cache(maxsize=16)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to this address or name.

    Names under `.localhost` are loopback by RFC 6761; every other name may be
    anybody's.
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        name = host.lower()
        return name == "localhost" or name.endswith(".localhost")


def authority(host: str, port: int) -> str:
    """`host:port` as it stands in a URL; an IPv6 address goes into brackets (RFC 3986 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(host: str, port: int) -> str:
    """Where a server that is bound to `host` can be reached from here."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  not a bind
    return f"http://{authority(reachable, port)}"
