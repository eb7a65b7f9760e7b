"""SlurmRest against a socket that answers what it is told to: what must never count as "gone"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from atoll.errors import ClientError
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.shell.slurm import Slurm, SlurmDown, SlurmUnsure
from atoll_supervisor.shell.slurm_rest import SlurmRest

pytestmark = pytest.mark.anyio
OFFERED = msgspec.json.encode({"paths": {"/slurm/v0.0.38/job/submit": {}}})
SPEC = JobSpec(name="a", comment="atoll:u", output="/dev/null", folder="/")
RUNNING = {"job_id": 7, "job_state": "RUNNING", "name": "a"}


class Daemon:
    """Answers each path with a status and a body; None hangs up in the middle."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.answers: dict[str, tuple[int, bytes] | None] = {"/openapi.json": (200, OFFERED)}
        self.asked: list[str] = []

    def says(self, path: str, body: object, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.answers[f"/slurm/v0.0.38/{path}"] = (status, data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = (await reader.readline()).decode().split()
        self.asked.append(f"{method} {path}")
        answer = self.answers.get(path, (404, b"Unable find requested URL."))
        if answer is None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        else:
            head = f"HTTP/1.1 {answer[0]} X\r\nContent-Length: {len(answer[1])}\r\n\r\n"
            writer.write(head.encode() + answer[1])
        writer.close()


@asynccontextmanager
async def speaking(folder: Path) -> AsyncIterator[tuple[Daemon, SlurmRest]]:
    daemon = Daemon(folder / "s")
    server = await asyncio.start_unix_server(daemon.serve, daemon.socket)
    async with server:
        yield daemon, SlurmRest(daemon.socket, Slurm({}))


async def test_an_answer_that_ends_early_leaves_it_open_what_happened(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.answers["/slurm/v0.0.38/job/submit"] = None
        (tmp_path / "job.sh").write_text("#!/bin/sh\n")
        with pytest.raises(SlurmUnsure, match="ended before it had answered"):
            await slurm.submit(SPEC, tmp_path / "job.sh", {})


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}", b'{"jobs": 5}', b'{"jobs": [{}]}'])
async def test_a_queue_that_cannot_be_read_is_no_empty_queue(tmp_path: Path, body: bytes) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("jobs", body)
        with pytest.raises(SlurmDown):
            await slurm.jobs()


async def test_a_queue_with_errors_is_no_queue(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("jobs", {"errors": [{"error_number": -1, "error": "x"}], "jobs": []})
        with pytest.raises(SlurmDown):
            await slurm.jobs()


async def test_who_is_not_let_in_is_told_so(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("jobs", b"Authentication failure", 401)
        with pytest.raises(SlurmDown, match="does not let the daemon in: Authentication failure"):
            await slurm.jobs()


async def test_another_release_in_its_place_is_noticed(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("jobs", {"jobs": []})
        assert await slurm.jobs() == ()
        newer: dict[str, object] = {"paths": {"/slurm/v0.0.41/job/submit": {}}}
        daemon.answers = {
            "/openapi.json": (200, msgspec.json.encode(newer)),
            "/slurm/v0.0.41/jobs": (200, msgspec.json.encode({"jobs": [RUNNING]})),
        }
        with pytest.raises(SlurmDown, match="does not know"):
            await slurm.jobs()
        assert [job.job_id for job in await slurm.jobs()] == ["7"]


async def test_a_slurmrestd_without_its_plugin_is_told(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.answers = {"/openapi.json": (200, b'{"paths": {}}')}
        with pytest.raises(SlurmDown, match="takes no jobs"):
            await slurm.jobs()


async def test_only_the_job_of_that_number_and_name_is_ended(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("ping", {"pings": []})
        daemon.says("job/7", {"jobs": [RUNNING]})
        await slurm.cancel("7", "another")
        daemon.says("job/7", {"jobs": [{**RUNNING, "job_state": "COMPLETED"}]})
        await slurm.cancel("7", "a")
        gone = {"errors": [{"error_number": 2017, "error": "Invalid job id specified"}]}
        daemon.says("job/7", {**gone, "jobs": []}, 500)
        await slurm.cancel("7", "a")
        assert not [line for line in daemon.asked if line.startswith("DELETE")]
        daemon.says("job/7", {"jobs": [RUNNING]})
        await slurm.cancel("7", "a")
        assert daemon.asked[-1] == "DELETE /slurm/v0.0.38/job/7"


async def test_a_cluster_that_is_away_ends_nothing_and_says_so(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.says("ping", {"errors": [{"error_number": -1, "error": "no"}]}, 500)
        with pytest.raises(SlurmDown, match="slurmctld does not answer slurmrestd: no"):
            await slurm.cancel("7", "a")


async def test_what_the_cluster_forbids_is_not_called_silence(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        denied = {"errors": [{"error_number": 2002, "error": "Access/permission denied"}]}
        daemon.says("ping", {"pings": []})
        daemon.says("job/7", {**denied, "jobs": [RUNNING]}, 500)
        with pytest.raises(SlurmDown, match=r"slurmctld refuses .*: Access/permission denied"):
            await slurm.cancel("7", "a")


async def test_a_question_whose_answer_is_lost_has_changed_nothing(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        daemon.answers["/slurm/v0.0.38/jobs"] = None
        with pytest.raises(SlurmDown) as caught:
            await slurm.jobs()
        assert not isinstance(caught.value, SlurmUnsure)


async def test_an_impossible_job_is_the_clients_mistake(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (daemon, slurm):
        (tmp_path / "job.sh").write_text("#!/bin/sh\n")
        refused = {"errors": [{"error_code": 2014, "error": "not available"}]}
        daemon.says("job/submit", refused, 500)
        with pytest.raises(ClientError, match="the cluster refused the job: not available"):
            await slurm.submit(SPEC, tmp_path / "job.sh", {})
