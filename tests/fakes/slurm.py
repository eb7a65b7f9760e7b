"""A real SLURM of two nodes for one test, by the project's own script."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import msgspec
import psutil
import pytest

from tests.arch.tree import ROOT
from tests.fakes.daemon import free_ports
from tests.fakes.service_daemon import ServiceDaemon

SCRIPT = ROOT / "scripts/slurm-test-cluster"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
wants_slurm = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(which, PROGRAMS)),
    reason="wants the Debian package slurm-wlm, and root",
)

wants_slurmrestd = pytest.mark.skipif(
    not which("slurmrestd"), reason="wants the Debian package slurmrestd"
)
TRANSPORTS = ("commands", pytest.param("rest", marks=wants_slurmrestd))
"""The two ways to a cluster, for tests of what must hold by either."""
SMALL = {"cpu": 1, "memory": "300M"}


class Cluster:
    """Two nodes, n1 and n2; what is done to it is done by its own programs."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.conf = str(folder / "slurm.conf")
        self.socket = folder / "run/rest.sock"

    def script(self, what: str) -> None:
        words = [str(SCRIPT), what, str(self.folder), "2", str(self.port)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> str:
        environ = {**os.environ, "SLURM_CONF": self.conf}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def job(self, job_id: object) -> dict[str, object]:
        """What squeue tells of a job; {} when it tells nothing."""
        queue = msgspec.json.decode(self.run("squeue", "--json"))
        return next((job for job in queue["jobs"] if str(job["job_id"]) == job_id), {})

    def pid(self, daemon: str) -> int:
        return int((self.folder / f"run/{daemon}.pid").read_text())

    def kill(self, daemon: str) -> None:
        process = psutil.Process(self.pid(daemon))
        process.kill()
        process.wait(20)

    def end(self, daemon: str) -> None:
        """Stop one of its daemons, which then writes down what it knows."""
        process = psutil.Process(self.pid(daemon))
        process.terminate()
        process.wait(20)

    def begin(self, *words: str) -> None:
        """Start one of its daemons again."""
        environ = {**os.environ, "SLURM_CONF": self.conf}
        null = subprocess.DEVNULL
        subprocess.run(words, env=environ, stdin=null, stdout=null, stderr=null, timeout=20)


class SlurmDaemon(ServiceDaemon):
    """A daemon beside a cluster, whose services are jobs unless they say otherwise."""

    def at(self, cluster: Cluster, transport: object = "commands") -> "SlurmDaemon":
        self.more = {"SLURM_CONF": cluster.conf, "ATOLL_ENGINE": "slurm"}
        if transport == "rest":
            self.more["ATOLL_SLURM_REST"] = str(cluster.socket)
        return self

    def job(self, model: str = "small", **resources: object) -> dict[str, object]:
        config = {"environment": {"VLLM_MODEL": model}, "resources": {**SMALL, **resources}}
        return self.create(config=config)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is up; its folder is a short one, for its unix sockets."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="atoll-slurm-")), free_ports(100))
    try:
        made.script("up")
        yield made
    finally:
        made.script("down")
        shutil.rmtree(made.folder, ignore_errors=True)
