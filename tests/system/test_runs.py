"""Runs of a whole daemon: what was accepted ends, once, whoever is killed meanwhile."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from tests.arch.tree import AGENTS
from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.disk import OnDisk, small_disk
from tests.fakes.noting import LIMIT, ended, events, noted, start, workflow
from tests.fakes.workers import add_worker

PARALLEL = 200
"""Background runs at once."""
WORK = [
    ("assistant", "The number is", "The number is {}"),
    ("coder", "execute_code", ""),  # whatever it says where there is no sandbox
    ("coordinator", "Ask machine: how much memory is there?", "machine says: memory says: memory:"),
    ("librarian", "Search: what happens when an agent crashes?", "search says: [crashes.md"),
    ("machine", "How much memory is there?", "memory says: memory:"),
]
"""Whom the rule-based back end is asked as, for what, and what the answer holds."""
KILLS = 4


@pytest.mark.parametrize("policy", ["continue", "fail"])
@pytest.mark.parametrize("victim", ["second", "keeper"])
def test_a_run_whose_agent_is_killed_goes_on_or_fails_as_it_was_told(
    tmp_path: Path, victim: str, policy: str
) -> None:
    """With the keeper die all agents."""
    with running(workflow(tmp_path)) as daemon:
        run_id = start(daemon, "first", "flock", on_interrupt=policy)["run_id"]
        eventually(lambda: noted(daemon)["second"] == 1)
        os.kill(daemon.keeper if victim == "keeper" else daemon.units()["second"], signal.SIGKILL)
        told = ended(daemon, run_id)
        assert "interrupted" in [one["type"] for one in events(daemon, run_id)]
        if policy == "continue":
            assert (told["status"], told["result"]) == ("completed", {"result": "done"})
            assert noted(daemon) == {"first": 1, "second": 2}
        else:
            assert (told["status"], told["reason"]) == ("failed", "interrupted")
            assert told["path"] == ["first"]
            assert "agent 'second'" in told["error"]
            assert noted(daemon) == {"first": 1, "second": 1}, "it was asked again"


@pytest.mark.parametrize("policy", ["continue", "fail"])
def test_a_run_whose_daemon_is_killed_goes_on_from_its_last_finished_step_or_fails(
    tmp_path: Path, policy: str
) -> None:
    with running(workflow(tmp_path)) as daemon:
        run_id = start(daemon, "first", "flock", on_interrupt=policy)["run_id"]
        eventually(lambda: noted(daemon)["second"] == 1)
        daemon.stop(signal.SIGKILL)
        daemon.start(settled=False)
        told = ended(daemon, run_id)
        assert noted(daemon)["first"] == 1, "a finished step was done again"
        if policy == "continue":
            assert (told["status"], told["path"]) == ("completed", ["first", "second"])
        else:
            assert (told["status"], told["reason"]) == ("failed", "interrupted")
            assert told["error"].endswith("the daemon was restarted")
            assert noted(daemon)["second"] == 1, "it was asked again"


def test_a_follower_misses_nothing_and_hears_nothing_twice_through_a_kill(tmp_path: Path) -> None:
    """It comes back with the id of the last event that it has, as a browser does by itself."""
    ids: list[int] = []

    def follow(run_id: str) -> None:
        headers = {"Last-Event-ID": str(ids[-1])} if ids else {}
        url = f"{daemon.url}/run/{run_id}/events"
        with httpx.stream("GET", url, headers=headers, timeout=LIMIT, verify=PLAIN) as answer:
            told = (line.partition("id: ") for line in answer.iter_lines())
            ids.extend(int(number) for head, word, number in told if word and not head)

    with running(workflow(tmp_path)) as daemon, ThreadPoolExecutor(1) as pool:
        run_id = start(daemon, "first", "flock")["run_id"]
        following = pool.submit(follow, run_id)
        eventually(lambda: noted(daemon)["second"] == 1)
        daemon.stop(signal.SIGKILL)
        assert isinstance(following.exception(LIMIT), httpx.TransportError)
        daemon.start(settled=False)
        follow(run_id)
        assert ids == [one["id"] for one in events(daemon, run_id)] == list(range(1, len(ids) + 1))
        assert ended(daemon, run_id)["status"] == "completed"


@pytest.mark.parametrize("way", ["stop", "upgrade"])
def test_a_run_outlives_a_daemon_that_is_stopped_or_replaced(tmp_path: Path, way: str) -> None:
    with running(workflow(tmp_path)) as daemon:
        run_id = start(daemon, "first", "flock")["run_id"]
        eventually(lambda: noted(daemon)["second"] == 1)
        if way == "stop":
            assert daemon.stop() == 0
            daemon.start(settled=False)
        else:
            daemon.post("/api/v1/upgrade").raise_for_status()
        eventually(lambda: _is_up(daemon))
        assert ended(daemon, run_id)["status"] == "completed"
        assert noted(daemon)["first"] == 1


def test_a_step_that_a_stop_waits_for_counts_and_the_next_is_for_the_next_daemon(
    tmp_path: Path,
) -> None:
    """That its agents are stopped with it is no failure of the run."""
    with running(workflow(tmp_path, first=1.0, second=0.0)) as daemon:
        run_id = start(daemon, "first", "flock")["run_id"]
        eventually(lambda: noted(daemon)["first"] == 1)
        assert daemon.stop() == 0
        daemon.start(settled=False)
        assert ended(daemon, run_id)["path"] == ["first", "second"]
        assert noted(daemon) == {"first": 1, "second": 1}


class Guarded(Daemon):
    """A daemon whose agents want a token."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"ATOLL_AGENT_TOKEN": "theirs"}


def test_agents_that_want_a_token_are_shown_it(tmp_path: Path) -> None:
    daemon = Guarded(tmp_path)
    add_worker(daemon.agents, "worker", {"result": "x"})
    with running(daemon):
        body = {"agent_name": "worker", "inputs": {"query": "x"}}
        url = f"{daemon.url}/run/agent"
        assert httpx.post(url, json=body, timeout=LIMIT, verify=PLAIN).status_code == 401
        headers = {"Authorization": "Bearer theirs"}
        told = httpx.post(url, json=body, headers=headers, timeout=LIMIT, verify=PLAIN).json()
        assert told["result"] == {"result": "x"}


def test_a_full_disk_takes_no_run_and_loses_none(tmp_path: Path) -> None:
    """What cannot be kept is not begun; what is under way waits until it can be kept."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("wants root and mount namespaces")
    with small_disk() as disk:
        daemon = OnDisk(tmp_path, disk)
        add_worker(daemon.agents, "worker", {"result": "x"}, delay=1.0)
        with running(daemon):
            under_way = start(daemon, "worker")["run_id"]
            eventually(lambda: daemon.get(f"/run/{under_way}").json()["status"] == "running")
            disk.fill()
            body = {"agent_name": "worker", "inputs": {"query": "x" * 100_000}}
            url = f"{daemon.url}/run/agent"
            refused = httpx.post(url, json=body, timeout=LIMIT, verify=PLAIN)
            assert (refused.status_code, refused.json()["code"]) == (503, "cannot_be_kept")
            assert "full" in refused.json()["detail"]
            disk.free()
            assert ended(daemon, under_way)["status"] == "completed"
            assert ended(daemon, start(daemon, "worker")["run_id"])["status"] == "completed"
            assert len(daemon.get("/run").json()["runs"]) == 2


def _is_up(daemon: Daemon) -> bool:
    try:
        return daemon.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_run_that_waits_for_an_agent_on_its_way_up_is_not_refused(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_worker(daemon.agents, "worker", {"result": "x"})
    with running(daemon):
        daemon.post("/api/v1/agents/worker/restart?wait=false").raise_for_status()
        assert ended(daemon, start(daemon, "worker")["run_id"])["status"] == "completed"
        daemon.post("/api/v1/agents/worker/stop").raise_for_status()
        told = ended(daemon, start(daemon, "worker")["run_id"])
        assert (told["status"], told["reason"]) == ("failed", "agent_not_running")
        assert "`atoll start worker` starts it" in told["error"]


def test_many_runs_of_the_example_fleet_are_none_of_them_lost(tmp_path: Path) -> None:
    """Each agent does what it is for, with its tools and with the others, all at once."""
    agents = shutil.copytree(AGENTS, tmp_path / "agents", ignore=shutil.ignore_patterns("__py*"))
    daemon = Daemon(tmp_path, agents=Path(agents))
    asked = list(islice(cycle(WORK), PARALLEL))
    with running(daemon), ThreadPoolExecutor(32) as pool:

        def begin(number: int) -> str:
            name, query, _ = asked[number]
            return str(start(daemon, name, inputs={"query": f"{query} {number}"})["run_id"])

        ids = list(pool.map(begin, range(PARALLEL)))
        assert len(set(ids)) == PARALLEL
        told = [ended(daemon, run_id) for run_id in ids]
        assert {one["error"] for one in told} == {None}
        for number, (one, (name, _, result)) in enumerate(zip(told, asked, strict=True)):
            assert one["agent_name"] == name
            assert result.format(number) in one["result"]["result"], name
        listed = daemon.get(f"/run?limit={PARALLEL * 2}").json()["runs"]
        assert {one["run_id"] for one in listed} == set(ids)


@pytest.mark.timeout(240)
def test_no_accepted_run_is_lost_or_a_ghost_or_done_twice_through_kills(tmp_path: Path) -> None:
    """Daemon and agents are killed at random while runs are accepted and under way."""
    seed = random.SystemRandom().randrange(10**9)
    chance = random.Random(seed)
    daemon = Daemon(tmp_path)
    said = {"query": "x"}
    add_worker(daemon.agents, "first", said, gives="query: str", io='hand_off = "second"')
    quick = "[deployment]\nrestart_delay = 0.05\nmax_restarts = 1000"
    add_worker(daemon.agents, "second", {"result": "x"}, delay=0.05, more=quick)
    accepted: dict[str, tuple[str, str]] = {}
    with running(daemon):
        for round in range(KILLS):
            for number in range(12):
                policy = chance.choice(["continue", "fail"])
                key = f"{round}-{number}"
                run_id = start(daemon, "first", "flock", key, on_interrupt=policy)["run_id"]
                accepted[key] = run_id, policy
            time.sleep(chance.uniform(0, 0.15))
            if round % 2 and (pid := daemon.units().get("second")):
                os.kill(pid, signal.SIGKILL)
            daemon.stop(signal.SIGKILL)
            daemon.start(settled=False)
            for key, (run_id, policy) in accepted.items():
                again = start(daemon, "first", "flock", key, on_interrupt=policy)
                assert again["run_id"] == run_id, f"seed {seed}"
        for key, (run_id, _) in accepted.items():
            told = ended(daemon, run_id)
            fate = (told["status"], told["reason"])
            assert fate in (("completed", None), ("failed", "interrupted")), (seed, key, told)
            counted = Counter(one["type"] for one in events(daemon, run_id))
            assert counted["step_completed"] == len(told["path"]) <= 2, f"seed {seed}"
            assert counted["run_completed"] + counted["run_failed"] == 1, f"seed {seed}"
    with sqlite3.connect(daemon.state / "atoll.db") as db:
        assert db.execute("select count(*) from run where ended is null").fetchone() == (0,)
        assert db.execute("select count(*) from run").fetchone() == (len(accepted),)
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    db.close()


def test_a_batch_goes_on_after_a_kill_and_is_whole(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_worker(daemon.agents, "worker", {"result": "x"}, delay=0.05)
    with running(daemon):
        rows = [{"query": str(n)} for n in range(20)]
        body = {"agent_name": "worker", "batch_inputs": rows, "max_workers": 2}
        url = f"{daemon.url}/run/batch"
        batch = httpx.post(url, json=body, timeout=LIMIT, verify=PLAIN).json()["batch_id"]
        eventually(lambda: daemon.get(f"/batch/{batch}").json()["completed_items"] > 2)
        daemon.stop(signal.SIGKILL)
        daemon.start(settled=False)
        eventually(lambda: daemon.get(f"/batch/{batch}").json()["completed_items"] == 20)
        told = daemon.get(f"/batch/{batch}").json()
        assert (told["status"], told["results"]) == ("completed", [{"result": "x"}] * 20)


def test_no_more_runs_are_kept_than_the_settings_say(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_worker(daemon.agents, "worker", {"result": "x"})
    (daemon.agents.parent / "atoll.toml").write_text("[daemon]\nkeep_runs = 2\n")
    with running(daemon):
        ids = [start(daemon, "worker")["run_id"] for _ in range(4)]
        for run_id in ids:
            ended(daemon, run_id)
        daemon.stop()
        daemon.start(settled=False)
        eventually(lambda: len(daemon.get("/run").json()["runs"]) == 2)
        kept = [one["run_id"] for one in daemon.get("/run").json()["runs"]]
        assert kept == [ids[3], ids[2]]


def test_the_command_line_lists_shows_and_cancels(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_worker(daemon.agents, "worker", {"result": "\x1b[31mred"})
    add_worker(daemon.agents, "slow", {"result": "x"}, delay=60)
    with running(daemon):
        assert "no runs yet" in daemon.run("runs").stderr
        done = ended(daemon, start(daemon, "worker")["run_id"])
        bad = ended(daemon, start(daemon, "gho\x1bst")["run_id"])
        slow = start(daemon, "slow")["run_id"]
        said = daemon.run("runs", "list", "--tail", "5")
        assert said.returncode == 0, said.stderr
        head, *lines = said.stdout.splitlines()
        assert head.split() == ["RUN", "STATUS", "KIND", "AGENT", "STEPS", "STARTED", "ERROR"]
        assert [line.split()[0] for line in lines] == [slow, bad["run_id"], done["run_id"]]
        assert "\x1b" not in said.stdout
        listed = json.loads(daemon.run("runs", "list", "--status", "failed", "--json").stdout)
        assert [one["run_id"] for one in listed["runs"]] == [bad["run_id"]]
        shown = daemon.run("runs", "show", done["run_id"])
        assert "run_completed" in shown.stdout
        assert '"result":' in shown.stdout
        assert "\x1b" not in shown.stdout
        assert json.loads(daemon.run("runs", "show", "--json", done["run_id"]).stdout) == done
        assert daemon.run("runs", "cancel", slow).stdout == f"{slow} cancelled\n"
        missing = daemon.run("runs", "show", "nope")
        assert missing.returncode != 0
        assert "Run not found" in missing.stderr


def test_an_agent_of_chats_is_run_too(tmp_path: Path) -> None:
    """No `[io]`: any inputs, and the answer's text as the result."""
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Plain")
    with running(daemon):
        told = ended(daemon, start(daemon, "Plain")["run_id"])
        assert told["result"] == {"result": "Hello from Plain"}


def test_the_command_line_starts_a_run_and_sees_it_through(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    takes = "n: int, words: list[str]"
    io = 'hand_off = "second"'
    add_worker(daemon.agents, "first", {"query": "x"}, takes=takes, gives="query: str", io=io)
    add_worker(daemon.agents, "second", {"result": "\x1b[31mred"})
    add_worker(daemon.agents, "slow", {"result": "x"}, delay=60)
    with running(daemon):
        said = daemon.run("runs", "start", "--flock", "first", "n:=1", 'words:=["a"]')
        assert (said.returncode, said.stdout) == (0, "red\n"), said.stderr
        assert [line.split()[1] for line in said.stderr.splitlines()][1:] == [
            "run_accepted", "step_started", "step_completed", "handed_off",
            "step_started", "step_completed", "run_completed",
        ]  # fmt: skip
        inputs = tmp_path / "inputs.json"
        inputs.write_text('{"n": 1, "words": "no list"}')
        told = daemon.run("runs", "start", "first", "--file", str(inputs), "--json")
        assert (told.returncode, json.loads(told.stdout)["reason"]) == (1, "invalid_inputs")
        assert "atoll runs show" in told.stderr
        left = daemon.run("runs", "start", "--detach", "slow", "some", "words")
        assert daemon.get(f"/run/{left.stdout.strip()}").json()["status"] in ("starting", "running")
        missing = daemon.run("runs", "start", "nobody")
        assert (missing.returncode, missing.stdout) == (4, "")
        assert "Agent 'nobody' not found" in missing.stderr
        for words in (("show", ""), ("cancel", "../agents"), ("show", "batch")):
            wrong = daemon.run("runs", *words)
            assert (wrong.returncode, wrong.stdout) == (2, "")
            assert "is no run's id" in wrong.stderr


def test_the_command_line_sees_a_run_through_over_a_kill_of_the_daemon(tmp_path: Path) -> None:
    """Each event is told once, and the result comes as if nothing had been."""
    daemon = Daemon(tmp_path)
    add_worker(daemon.agents, "slow", {"result": "late"}, delay=3.0)
    command = [sys.executable, "-m", "atoll_supervisor", "runs", "start", "slow", "words"]
    with running(daemon):
        seen = subprocess.Popen(
            command, env=daemon.environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert seen.stderr is not None
        begun = [seen.stderr.readline() for _ in range(3)]
        assert "step_started" in begun[2]
        daemon.stop(signal.SIGKILL)
        daemon.start(settled=False)
        out, err = seen.communicate(timeout=LIMIT)
    assert (seen.returncode, out) == (0, "late\n"), err
    told = [line.split()[1] for line in err.splitlines()]
    assert told == ["interrupted", "step_completed", "run_completed"]
