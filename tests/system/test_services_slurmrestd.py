"""What can befall slurmrestd, with a real one: it ends, it never was there, its answer is lost."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.daemon import eventually, running
from tests.fakes.slurm import SMALL, Cluster, SlurmDaemon, cluster, wants_slurm, wants_slurmrestd

pytestmark = [wants_slurm, wants_slurmrestd]
VLLM = {"recipe_name": "inference/vllm", "config": {"resources": SMALL}}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_what_runs_goes_on_when_slurmrestd_dies_and_is_ended_when_it_is_back(
    tmp_path: Path, slurm: Cluster
) -> None:
    daemon = SlurmDaemon(tmp_path).at(slurm, "rest")
    with running(daemon):
        kept, ended = daemon.job(), daemon.job()
        daemon.until(kept["id"], "running")
        job = daemon.until(ended["id"], "running")["job_id"]
        slurm.kill("slurmrestd")
        refused = daemon.ask("POST", "/api/v1/services", VLLM)
        assert refused.status_code == 503
        assert f"slurmrestd does not answer at {slurm.socket}" in refused.json()["detail"]
        assert daemon.ask("DELETE", f"/api/v1/services/{ended['id']}").status_code == 503
        assert daemon.status(ended["id"]) == "cancelled"
        eventually(lambda: "slurmrestd does not answer" in daemon.log.read_text())
        assert daemon.status(kept["id"]) == "running"
        assert daemon.prompt(kept["id"]).status_code == 200
        assert slurm.job(job)["job_state"] == "RUNNING"
        slurm.script("rest")
        eventually(lambda: slurm.job(job)["job_state"] == "CANCELLED")
        assert daemon.status(kept["id"]) == "running"
        daemon.until(daemon.job()["id"], "running")
        for row in daemon.get("/api/v1/services").json():
            daemon.ask("DELETE", f"/api/v1/services/{row['id']}")


def test_a_socket_that_is_not_there_is_named(tmp_path: Path, slurm: Cluster) -> None:
    daemon = SlurmDaemon(tmp_path).at(slurm)
    daemon.more["ATOLL_SLURM_REST"] = str(tmp_path / "none.sock")
    with running(daemon):
        refused = daemon.ask("POST", "/api/v1/services", VLLM)
        assert refused.status_code == 503
        assert "none.sock: there is no such socket" in refused.json()["detail"]
        assert daemon.get("/api/v1/services").json() == []


def test_a_job_whose_number_was_never_heard_is_ended(tmp_path: Path, slurm: Cluster) -> None:
    """slurmctld queued it, and the answer was lost: nobody could stop it by its number."""
    daemon = SlurmDaemon(tmp_path).at(slurm, "rest")
    with swallowing(slurm.folder / "run/lossy.sock", slurm.socket) as lossy:
        daemon.more["ATOLL_SLURM_REST"] = str(lossy)
        with running(daemon):
            refused = daemon.ask("POST", "/api/v1/services", VLLM)
            assert refused.status_code == 503
            assert "slurmrestd ended before it had answered" in refused.json()["detail"]
            (row,) = daemon.get("/api/v1/services").json()
            assert row["status"] == "cancelled"
            eventually(lambda: _state(slurm, row["name"]) == "CANCELLED")
            eventually(lambda: _purged(daemon, row["id"]))


def _purged(daemon: SlurmDaemon, service: str) -> bool:
    path = f"/api/v1/services/{service}?purge=true"
    return daemon.ask("DELETE", path).status_code == 200


def _state(slurm: Cluster, name: str) -> object:
    words = slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-n", name).split()
    return words[0] if words else None


@contextmanager
def swallowing(front: Path, behind: Path) -> Iterator[Path]:
    """A relay to slurmrestd that hands every request on, and no answer to a submission back."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(front))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, socket.socket(socket.AF_UNIX) as server:
                    client.settimeout(20)
                    server.settimeout(20)
                    server.connect(str(behind))
                    _carry(client, server)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield front
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def _carry(client: socket.socket, server: socket.socket) -> None:
    request = _message(client)
    server.sendall(request)
    answer = _message(server)
    if b"/job/submit " not in request.split(b"\r\n")[0]:
        client.sendall(answer)


def _message(sock: socket.socket) -> bytes:
    """One HTTP message, by its Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += _some(sock)
    return head + b"\r\n\r\n" + body


def _some(sock: socket.socket) -> bytes:
    if not (piece := sock.recv(65_536)):
        raise ConnectionError("the other side has closed")
    return piece
