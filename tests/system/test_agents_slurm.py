"""Agents as jobs of a real SLURM of two nodes: the same name, port, gateway and sessions."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.slurm import TRANSPORTS, Cluster, cluster, wants_slurm

pytestmark = [wants_slurm, pytest.mark.timeout(120)]

JOB = '[deployment]\nengine = "slurm"\nstop_timeout = 10\n'
SMALL = '[resources]\nmemory_limit = "300MB"\n'
SLOW = '[[turn]]\nchunks = ["a", "b", "c", "d", "e", "f"]\ndelay = 0.4\n'
HOG = """
def hog() -> int:
    "Uses much memory."
    import time
    block = bytearray(600_000_000)
    time.sleep(20)
    return len(block)
"""


class JobDaemon(Daemon):
    """A daemon beside a cluster."""

    def __init__(
        self, folder: Path, cluster: Cluster | None = None, transport: str = "commands"
    ) -> None:
        super().__init__(folder)
        self.more: dict[str, str] = {}
        if cluster:
            rest = transport == "rest"
            self.more = (
                {"ATOLL_SLURM_REST": str(cluster.socket)} if rest else {"SLURM_CONF": cluster.conf}
            )

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.more}

    def log_of(self, slug: str) -> str:
        return (self.state / f"logs/{slug}.log").read_text()

    def serving(self, slug: str) -> dict[str, object]:
        return self.wait_for(slug, phase="running")

    def why(self, slug: str) -> str:
        """What the lists say of it, and of its last end."""
        row = self.row(slug)
        last = row["last_exit"]
        return f"{row['reason']} {last['reason'] if isinstance(last, dict) else ''}"


def mine(cluster: Cluster, daemon: Daemon, slug: str) -> list[str]:
    """The ids of the agent's jobs that run or wait; other tests have others there."""
    folder = str(daemon.agents / slug)
    queue = json.loads(cluster.run("squeue", "--json"))["jobs"]
    return [
        str(job["job_id"])
        for job in queue
        if job["current_working_directory"] == folder and job["job_state"] in ("RUNNING", "PENDING")
    ]


def place(daemon: Daemon, slug: str) -> tuple[str, int]:
    """Where the job's agent listens on its node."""
    (path,) = (daemon.state / "jobs" / slug).glob("*/endpoint")
    _, _, host, port = path.read_text().split()
    return host, int(port)


def messages(text: str = "hi", **more: object) -> dict[str, object]:
    return {"model": "llama2", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def fragile() -> Iterator[Cluster]:
    """A cluster that the test may break."""
    with cluster() as made:
        yield made


@pytest.fixture
def daemon(request: pytest.FixtureRequest, tmp_path: Path, slurm: Cluster) -> JobDaemon:
    return JobDaemon(tmp_path, slurm, getattr(request, "param", "commands"))


by_either = pytest.mark.parametrize("daemon", TRANSPORTS, indirect=True)


@by_either
def test_an_agent_is_a_job_from_its_start_to_its_stop(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Alpha", f"{JOB}{SMALL}cpu_limit = 1.5\n[slurm]\ntime_limit = 7\n")
    with running(daemon):
        row = daemon.serving("alpha")
        (job,) = mine(slurm, daemon, "alpha")
        told = slurm.job(job)
        assert "cpu=2,mem=287M" in str(told["tres_alloc_str"])
        assert told["time_limit"] == 7
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        gateway = httpx.post(
            f"{daemon.url}/api/chat", json=messages(stream=False) | {"model": "alpha"}, verify=PLAIN
        )
        assert gateway.json()["message"]["content"] == "Hello from Alpha"
        eventually(lambda: "Alpha serves http://" in daemon.log_of("alpha"), why="its own output")
        assert daemon.post("/api/v1/agents/alpha/stop").status_code == 200
        eventually(lambda: mine(slurm, daemon, "alpha") == [])
        assert list((daemon.state / "jobs/alpha").iterdir()) == []
        daemon.post("/api/v1/agents/alpha/start").raise_for_status()
        assert daemon.serving("alpha")["port"] == row["port"]
        assert daemon.stop() == 0
        assert mine(slurm, daemon, "alpha") == []


def test_what_a_client_does_reaches_the_job(daemon: JobDaemon) -> None:
    """A stream comes as it is made, a hang-up ends the generation, a WebSocket is one."""
    add_agent(daemon.agents, "Slow", JOB)
    (daemon.agents / "slow/script.toml").write_text(SLOW)
    with running(daemon):
        row = daemon.serving("slow")
        with httpx.stream("POST", f"{row['url']}/api/chat", json=messages(), verify=PLAIN) as it:
            lines = it.iter_lines()
            assert '"a"' in next(lines)
            assert httpx.get(f"{row['url']}/health", verify=PLAIN).json()["in_flight"] == 1
            eventually(lambda: daemon.row("slow")["in_flight"] == 1, why="no beat told of it")

        def is_quiet() -> bool:
            return bool(httpx.get(f"{row['url']}/health", verify=PLAIN).json()["in_flight"] == 0)

        eventually(is_quiet, 2.0, "the turn goes on without its client")
        with connect(f"ws://127.0.0.1:{row['port']}/ws/chat") as talk:
            talk.send(json.dumps({"type": "message", "content": "hi"}))
            assert talk.recv(timeout=20)


def test_the_nodes_port_is_for_the_relay_alone(daemon: JobDaemon) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        host, port = place(daemon, "alpha")
        refused = httpx.post(f"http://{host}:{port}/api/chat", json=messages(), verify=PLAIN)
        assert refused.status_code == 401
        assert "this port is for the agent's relay alone" in refused.text
        with socket.create_connection((host, port), timeout=20) as sock:
            sock.sendall(b"ATOLL client " + b"x" * 43 + b"\r\nGET /health HTTP/1.1\r\n\r\n")
            assert b" 401 " in sock.recv(4096)
        strange = httpx.get(
            f"{row['url']}/api/tags", headers={"host": "evil.example"}, verify=PLAIN
        )
        assert strange.status_code == 403, "clients are judged as if the agent were here"


def test_port_and_sessions_stay_when_an_agent_becomes_a_job_and_back(daemon: JobDaemon) -> None:
    manifest = add_agent(daemon.agents, "Alpha", '[deployment]\nengine = "local"\n')
    local, job = manifest.read_text(), manifest.read_text().replace('"local"', '"slurm"')

    def told(url: object) -> list[str]:
        body = {"message": "Remember me", "session_id": "mine"}
        httpx.post(f"{url}/chat", json=body, timeout=30, verify=PLAIN).raise_for_status()
        export = httpx.get(f"{url}/sessions/mine/export", timeout=30, verify=PLAIN)
        return [one["role"] for one in export.raise_for_status().json()["messages"]]

    with running(daemon):
        row = daemon.serving("alpha")
        assert told(row["url"]) == ["user", "assistant"]
        manifest.write_text(job)
        eventually(lambda: daemon.row("alpha")["generation"] == 2)
        moved = daemon.serving("alpha")
        assert (moved["port"], moved["url"]) == (row["port"], row["url"])
        assert told(row["url"]) == ["user", "assistant"] * 2
        manifest.write_text(local)
        eventually(lambda: daemon.row("alpha")["generation"] == 3)
        assert told(row["url"]) == ["user", "assistant"] * 3


@by_either
def test_a_killed_relay_leaves_one_job_which_the_next_one_takes_over(
    daemon: JobDaemon, slurm: Cluster
) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        before = mine(slurm, daemon, "alpha")
        os.kill(int(str(row["pid"])), signal.SIGKILL)
        assert daemon.chat(row["port"]) == "Hello from Alpha", "the client waited"
        assert mine(slurm, daemon, "alpha") == before
        assert len(before) == 1
        eventually(lambda: daemon.row("alpha")["generation"] == 2)
        daemon.serving("alpha")
        assert "goes on: its relay was lost" in daemon.log_of("alpha")


def test_the_keepers_death_costs_no_place_in_the_queue(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        before = mine(slurm, daemon, "alpha")
        os.kill(daemon.keeper, signal.SIGKILL)
        eventually(lambda: daemon.row("alpha")["generation"] != row["generation"])
        assert daemon.serving("alpha")["port"] == row["port"]
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        assert mine(slurm, daemon, "alpha") == before


@by_either
def test_a_job_that_a_stranger_cancels_is_submitted_again(
    daemon: JobDaemon, slurm: Cluster
) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        (job,) = mine(slurm, daemon, "alpha")
        slurm.run("scancel", job)
        eventually(lambda: daemon.row("alpha")["generation"] == 2)
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        assert "its job was cancelled" in daemon.why("alpha")
        (again,) = mine(slurm, daemon, "alpha")
        assert again != job


def test_the_daemons_death_is_not_noticed(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Slow", JOB)
    (daemon.agents / "slow/script.toml").write_text(SLOW)
    with running(daemon):
        row = daemon.serving("slow")
        with httpx.stream(
            "POST", f"{row['url']}/api/chat", json=messages(), verify=PLAIN, timeout=20
        ) as it:
            lines = it.iter_lines()
            next(lines)
            daemon.stop(signal.SIGKILL)
            assert '"done":true' in list(lines)[-1]
        daemon.chat(row["port"])
        daemon.start()
        after = daemon.serving("slow")
        assert (after["pid"], after["generation"]) == (row["pid"], row["generation"])
        assert len(mine(slurm, daemon, "slow")) == 1


def test_a_restart_refuses_and_drops_nobody(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    failures: list[str] = []
    over = threading.Event()

    def hammer(url: str) -> None:
        while not over.is_set():
            try:
                answer = httpx.post(
                    f"{url}/api/chat", json=messages(stream=False), timeout=30, verify=PLAIN
                )
                answer.raise_for_status()
            except httpx.HTTPError as error:
                failures.append(repr(error))

    with running(daemon):
        row = daemon.serving("alpha")
        (job,) = mine(slurm, daemon, "alpha")
        threads = [threading.Thread(target=hammer, args=(str(row["url"]),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            daemon.post("/api/v1/agents/alpha/restart").raise_for_status()
            eventually(lambda: mine(slurm, daemon, "alpha") not in ([], [job]))
            eventually(lambda: len(mine(slurm, daemon, "alpha")) == 1)
        finally:
            over.set()
            for thread in threads:
                thread.join(40)
        assert failures == []
        assert mine(slurm, daemon, "alpha") != [job]


@by_either
def test_a_stream_that_is_open_outlives_the_restart_and_the_stop(
    daemon: JobDaemon, slurm: Cluster
) -> None:
    """The old job drains: it finishes what it has while the new one serves."""
    add_agent(daemon.agents, "Slow", JOB)
    (daemon.agents / "slow/script.toml").write_text(SLOW)
    with running(daemon):
        row = daemon.serving("slow")
        for what in ("restart", "stop"):
            with httpx.stream(
                "POST", f"{row['url']}/api/chat", json=messages(), verify=PLAIN, timeout=20
            ) as it:
                lines = it.iter_lines()
                assert '"a"' in next(lines)
                asked = threading.Thread(target=daemon.post, args=(f"/api/v1/agents/slow/{what}",))
                asked.start()
                rest = list(lines)
                assert '"f"' in rest[-2]
                assert '"done":true' in rest[-1]
                asked.join(30)
        eventually(lambda: mine(slurm, daemon, "slow") == [])


@pytest.mark.soak
def test_a_drain_may_take_longer_than_silence_may(daemon: JobDaemon, slurm: Cluster) -> None:
    """An agent that drains takes no question for its pulse."""
    add_agent(daemon.agents, "Slow", JOB.replace("10", "40"))
    (daemon.agents / "slow/script.toml").write_text(SLOW.replace("0.4", "4"))
    with running(daemon):
        row = daemon.serving("slow")
        answers: list[str] = []

        def talk() -> None:
            body = messages(stream=False)
            answer = httpx.post(f"{row['url']}/api/chat", json=body, verify=PLAIN, timeout=60)
            answers.append(answer.json()["message"]["content"])

        talking = threading.Thread(target=talk)
        talking.start()
        eventually(lambda: daemon.row("slow")["in_flight"] == 1)
        daemon.post("/api/v1/agents/slow/stop").raise_for_status()
        talking.join(60)
        assert answers == ["abcdef"]
        eventually(lambda: mine(slurm, daemon, "slow") == [])


def test_a_job_waits_in_the_queue_as_long_as_it_takes_and_says_why(
    tmp_path: Path, fragile: Cluster
) -> None:
    daemon = JobDaemon(tmp_path, fragile)
    add_agent(daemon.agents, "Alpha", f"{JOB}start_timeout = 1\n")
    add_agent(daemon.agents, "Beta", '[sub_agents.a]\nagent = "alpha"\n')
    fragile.run("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
    with running(daemon, settled=False):
        eventually(lambda: "waits in the queue (PENDING: " in daemon.why("alpha"))
        first = daemon.row("alpha")
        since = time.monotonic()
        daemon.serving("beta")  # one that needs it does not wait for the cluster
        eventually(lambda: time.monotonic() - since > 3)
        assert daemon.row("alpha")["pid"] == first["pid"]
        assert daemon.row("alpha")["phase"] == "starting"
        os.kill(int(str(first["pid"])), signal.SIGKILL)
        eventually(lambda: daemon.row("alpha")["generation"] == 2)
        eventually(lambda: "waits in the queue" in daemon.why("alpha"))
        assert len(mine(fragile, daemon, "alpha")) == 1, "it keeps its place"
        daemon.post("/api/v1/agents/alpha/stop").raise_for_status()
        eventually(lambda: mine(fragile, daemon, "alpha") == [])
        daemon.post("/api/v1/agents/alpha/start")
        fragile.run("scontrol", "update", "nodename=n[1-2]", "state=resume")
        assert daemon.serving("alpha")["reason"] == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[resources]\nmemory_limit = "900GB"\n', "the cluster refused the job: "),
        ('[slurm]\npartition = "nowhere"\n', "invalid partition specified: nowhere"),
        ('[tools]\npython = "tools.py"\n', "no_such_module"),
    ],
)
def test_what_cannot_start_says_why_and_is_tried_again_slowly(
    daemon: JobDaemon, slurm: Cluster, more: str, words: str
) -> None:
    add_agent(daemon.agents, "Alpha", f"{JOB}{more}")
    (daemon.agents / "alpha/tools.py").write_text("import no_such_module\n")
    with running(daemon):
        daemon.wait_for("alpha", phase="backoff")
        assert words in daemon.why("alpha")
        eventually(lambda: words in daemon.run("ps").stdout)


def test_without_sbatch_the_reason_names_what_is_missing(tmp_path: Path) -> None:
    daemon = JobDaemon(tmp_path)
    daemon.more = {"PATH": str(tmp_path)}
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        daemon.wait_for("alpha", phase="backoff")
        assert "`sbatch` is not on the daemon's PATH" in daemon.why("alpha")


def test_a_job_that_uses_too_much_memory_is_told_so(daemon: JobDaemon) -> None:
    manifest = add_agent(daemon.agents, "Hog", f'{JOB}{SMALL}[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text(HOG)
    (manifest.parent / "script.toml").write_text('[[turn]]\ncall = [{ name = "hog" }]\n')
    with running(daemon):
        row = daemon.serving("hog")
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{row['url']}/api/chat", json=messages(), timeout=30, verify=PLAIN)
        eventually(lambda: "oom: it used more memory" in daemon.why("hog"))


def test_a_job_whose_agent_hangs_is_replaced(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        (job,) = mine(slurm, daemon, "alpha")
        for process in _steps(slurm, job):
            if "--server" in process.cmdline():
                process.suspend()
        eventually(lambda: daemon.row("alpha")["generation"] != row["generation"], 40)
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        assert "did not answer for 15 s" in daemon.why("alpha")
        eventually(lambda: len(mine(slurm, daemon, "alpha")) == 1)


def test_nobody_who_asks_loses_by_a_strangers_scancel(daemon: JobDaemon, slurm: Cluster) -> None:
    """Neither those whom the job serves, nor those who come while it ends, nor later ones."""
    add_agent(daemon.agents, "Slow", JOB)
    (daemon.agents / "slow/script.toml").write_text(SLOW)
    with running(daemon), ThreadPoolExecutor(60) as clients:
        row = daemon.serving("slow")
        (job,) = mine(slurm, daemon, "slow")

        def talk() -> str:
            answer = httpx.post(
                f"{row['url']}/api/chat", json=messages(stream=False), timeout=60, verify=PLAIN
            )
            return str(answer.raise_for_status().json()["message"]["content"])

        told = [clients.submit(talk)]
        eventually(lambda: daemon.row("slow")["in_flight"] == 1, why="no beat told of it")
        slurm.run("scancel", job)
        for _ in range(50):
            told.append(clients.submit(talk))
            time.sleep(0.1)
        assert {one.result(60) for one in told} == {"abcdef"}
        eventually(lambda: daemon.row("slow")["generation"] == 2)
        assert "its job was cancelled" in daemon.why("slow")


def test_a_successor_that_waits_in_the_queue_is_told_of(tmp_path: Path, fragile: Cluster) -> None:
    """The old job serves as long as that takes."""
    daemon = JobDaemon(tmp_path, fragile)
    manifest = add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        fragile.run("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
        manifest.write_text(manifest.read_text().replace("stop_timeout", "idle_timeout"))
        eventually(lambda: "its manifest changed: job 2 waits in the queue" in daemon.why("alpha"))
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        fragile.run("scontrol", "update", "nodename=n[1-2]", "state=resume")
        eventually(lambda: daemon.row("alpha")["generation"] == 2)


def test_a_job_sleeps_and_is_woken_by_its_first_client(daemon: JobDaemon, slurm: Cluster) -> None:
    add_agent(daemon.agents, "Alpha", f"{JOB}idle_timeout = 2\n")
    with running(daemon):
        row = daemon.wait_for("alpha", phase="asleep")
        assert daemon.chat(row["port"]) == "Hello from Alpha"
        assert len(mine(slurm, daemon, "alpha")) == 1
        daemon.wait_for("alpha", phase="asleep")
        eventually(lambda: mine(slurm, daemon, "alpha") == [])


def test_without_slurmctld_agents_go_on_and_new_ones_say_why(
    tmp_path: Path, fragile: Cluster
) -> None:
    daemon = JobDaemon(tmp_path, fragile)
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        fragile.end("slurmctld")
        add_agent(daemon.agents, "Beta", JOB)
        daemon.wait_for("beta", phase="backoff")
        assert "slurmctld does not answer" in daemon.why("beta")
        os.kill(int(str(row["pid"])), signal.SIGKILL)
        assert daemon.chat(row["port"]) == "Hello from Alpha", "taken over by its own address"
        fragile.begin("slurmctld")
        daemon.serving("beta")
        assert len(mine(fragile, daemon, "alpha")) == 1


@pytest.mark.timeout(180)
def test_a_job_that_loses_its_node_is_submitted_again(tmp_path: Path, fragile: Cluster) -> None:
    daemon = JobDaemon(tmp_path, fragile)
    add_agent(daemon.agents, "Alpha", JOB)
    with running(daemon):
        row = daemon.serving("alpha")
        (job,) = mine(fragile, daemon, "alpha")
        node = fragile.job(job)["nodes"]
        fragile.kill(f"slurmd-{node}")
        for step in _steps(fragile, job):
            step.kill()
        eventually(lambda: daemon.row("alpha")["generation"] != row["generation"], 60)
        assert daemon.serving("alpha")["port"] == row["port"]
        assert daemon.chat(row["port"]) == "Hello from Alpha"


def _steps(cluster: Cluster, job: str) -> list[psutil.Process]:
    """What runs of a job of this cluster: a node that goes away takes it along."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if (environ.get("SLURM_CONF"), environ.get("SLURM_JOB_ID")) == (cluster.conf, job):
                found.append(process)
        except psutil.Error:
            continue
    return found
