"""Agents as jobs of a real SLURM of two nodes: the same name, port, gateway and sessions."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.slurm import Cluster, cluster, wants_slurm

pytestmark = wants_slurm

JOB = '[deployment]\nengine = "slurm"\nstop_timeout = 10\n[resources]\nmemory_limit = "300MB"\n'
TURNS = """
[[turn]]
chunks = ["Hello", " from ", "{name}"]
delay = {delay}
repeat = true
"""


class JobDaemon(Daemon):
    """A daemon beside a cluster."""

    def __init__(self, folder: Path, cluster: Cluster | None) -> None:
        super().__init__(folder)
        self.conf = cluster.conf if cluster else ""
        self.more: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "SLURM_CONF": self.conf, **self.more}

    def log_of(self, slug: str) -> str:
        return (self.state / f"logs/{slug}.log").read_text()

    def serving(self, slug: str) -> dict[str, object]:
        return self.wait_for(slug, phase="running")


def mine(cluster: Cluster, *states: str) -> list[dict[str, object]]:
    """The jobs that are in one of these states."""
    queue = json.loads(cluster.run("squeue", "--json"))["jobs"]
    return [job for job in queue if job["job_state"] in (states or ("RUNNING", "PENDING"))]


def endpoint(daemon: Daemon, slug: str) -> tuple[str, int]:
    """Where the job's agent listens on its node."""
    (path,) = (daemon.state / "jobs" / slug).glob("*/endpoint")
    _, _, host, port = path.read_text().split()
    return host, int(port)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def fragile() -> Iterator[Cluster]:
    """A cluster that the test may break."""
    with cluster() as made:
        yield made


def test_an_agent_is_a_job_and_answers_as_before(tmp_path: Path, slurm: Cluster) -> None:
    daemon = JobDaemon(tmp_path, slurm)
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        print(daemon.log_of("alpha"))
        assert daemon.chat(row["port"]) == "Hello from Alpha"
