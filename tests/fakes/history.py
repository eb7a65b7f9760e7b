"""What a daemon has recorded of an agent, for tests that drive a whole daemon."""

import itertools
from datetime import datetime
from typing import Any

import httpx

from tests.fakes.daemon import PLAIN, Daemon

Event = dict[str, Any]


def events_of(daemon: Daemon, slug: str) -> list[Event]:
    """Every transition of the agent, oldest first."""
    url = f"{daemon.url}/api/v1/agents/{slug}/events?tail=1000"
    answer = httpx.get(url, headers=daemon.token(), timeout=30, verify=PLAIN).raise_for_status()
    return [event for event in answer.json()["events"] if event["after"]]


def causes_of(daemon: Daemon, slug: str) -> list[str]:
    return [str(event["cause"]) for event in events_of(daemon, slug)]


def seconds(event: Event) -> float:
    """When it happened, since the epoch."""
    return datetime.fromisoformat(str(event["at"])).timestamp()


def lasted(events: list[Event], phase: str) -> list[float]:
    """How long the agent stayed in that phase, each time that it left it again."""
    pairs = itertools.pairwise(events)
    return [seconds(then) - seconds(now) for now, then in pairs if now["after"] == phase]
