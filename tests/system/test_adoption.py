"""The daemon may die at any moment: its agents, their streams and their history go on."""

import asyncio
import os
import random
import signal
import socket
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest

from atoll_supervisor.keeper.packets import encode
from atoll_supervisor.keeper.protocol import Hello
from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, is_alive, running
from tests.fakes.hammer import hammering

pytestmark = pytest.mark.anyio

STREAM = "[[turn]]\nchunks = [{chunks}]\ndelay = 0.2\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "CustomAgent")
    return daemon


def identity(row: dict[str, object]) -> dict[str, object]:
    """What an agent that nobody touches keeps (I5)."""
    names = ("pid", "port", "restarts", "generation", "instance_id", "last_exit", "checksum")
    return {name: row[name] for name in names}


async def test_a_daemon_that_is_killed_and_started_again_finds_every_agent_as_it_was(
    daemon: Daemon,
) -> None:
    with running(daemon):
        os.kill(daemon.units()["ghidraagent"], signal.SIGKILL)
        before = daemon.wait_for("ghidraagent", phase="running", restarts=1)
        port = int(str(before["port"]))
        async with hammering(port) as met:
            await asyncio.to_thread(daemon.stop, signal.SIGKILL)
            answers = met.answers
            await asyncio.sleep(0.5)
            assert met.answers > answers, "agents need no daemon to answer"
            await asyncio.to_thread(daemon.start)
        after = daemon.row("ghidraagent")
        assert (met.failures, met.dropped) == ([], 0)
        assert identity(after) == identity(before)
        assert abs(_seconds(after) - _seconds(before)) < 1, "it has run since then"
        assert daemon.row("customagent")["restarts"] == 0


def _seconds(row: dict[str, object]) -> float:
    return datetime.fromisoformat(str(row["started_at"])).timestamp()


async def test_a_stream_that_is_open_goes_on_while_the_daemon_dies_and_comes_back(
    daemon: Daemon,
) -> None:
    chunks = ", ".join(f'"{number} "' for number in range(50))
    (daemon.agents / "ghidraagent" / "script.toml").write_text(STREAM.format(chunks=chunks))
    with running(daemon):
        url = f"http://127.0.0.1:{daemon.row('ghidraagent')['port']}/api/chat"
        body = {"model": "ghidraagent", "messages": [{"role": "user", "content": "hi"}]}
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", url, json=body) as answer,
        ):
            lines = answer.aiter_lines()
            await anext(lines)
            await asyncio.to_thread(daemon.stop, signal.SIGKILL)
            await asyncio.to_thread(daemon.start)
            await asyncio.to_thread(eventually, lambda: daemon.row("ghidraagent")["in_flight"] == 1)
            rest = [line async for line in lines]
        assert '"done":true' in rest[-1]
        assert "49 " in "".join(rest)


def test_an_end_that_no_daemon_saw_is_recovered_with_its_true_signal(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.row("customagent")
        daemon.stop(signal.SIGKILL)
        agent = psutil.Process(int(str(before["pid"])))
        agent.send_signal(signal.SIGUSR2)
        eventually(lambda: not is_alive(agent))
        daemon.start()
        after = daemon.wait_for("customagent", phase="running", restarts=1)
        assert after["last_exit"]["signal"] == "SIGUSR2"
        assert after["port"] == before["port"]
        assert daemon.chat(after["port"]) == "Hello from CustomAgent"


def test_what_was_edited_added_or_removed_meanwhile_is_taken_up(daemon: Daemon) -> None:
    add_agent(daemon.agents, "Leaver")
    with running(daemon):
        before = {slug: daemon.row(slug) for slug in ("ghidraagent", "customagent", "leaver")}
        daemon.stop(signal.SIGKILL)
        (daemon.agents / "leaver" / "agent.toml").unlink()
        manifest = daemon.agents / "customagent" / "agent.toml"
        manifest.write_text(manifest.read_text().replace("[llm]", "[llm]\ntemperature = 0.1"))
        add_agent(daemon.agents, "Newcomer")
        daemon.start()
        daemon.wait_for("newcomer", phase="running")
        edited = daemon.wait_for("customagent", phase="running", generation=2)
        assert edited["pid"] != before["customagent"]["pid"]
        assert identity(daemon.row("ghidraagent")) == identity(before["ghidraagent"])
        eventually(lambda: daemon.get("/api/v1/agents/leaver").status_code == 404)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{before['leaver']['port']}/health")


def test_what_an_operator_stopped_stays_stopped_although_the_daemon_was_killed(
    daemon: Daemon,
) -> None:
    with running(daemon):
        daemon.post("/api/v1/agents/ghidraagent/stop").raise_for_status()
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert daemon.row("ghidraagent")["status"] == "stopped"
        assert daemon.row("customagent")["status"] == "running"


async def test_nobody_is_refused_at_the_management_port_while_the_daemon_is_away(
    daemon: Daemon,
) -> None:
    with running(daemon):
        daemon.stop(signal.SIGKILL)
        async with httpx.AsyncClient(timeout=30) as client:
            waiting = asyncio.create_task(client.get(f"{daemon.url}/health"))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await asyncio.to_thread(daemon.start)
            assert (await waiting).status_code == 200


def test_a_keeper_that_is_killed_takes_its_agents_along_and_all_are_back_on_their_ports(
    daemon: Daemon,
) -> None:
    with running(daemon):
        before, tree = daemon.units(), daemon.tree()
        ports = {slug: daemon.row(slug)["port"] for slug in before}
        os.kill(daemon.keeper, signal.SIGKILL)
        for slug in before:
            after = daemon.wait_for(slug, phase="running", restarts=1)
            assert after["port"] == ports[slug]
            assert after["last_exit"]["signal"] == "SIGKILL"
            assert "keeper" in after["last_exit"]["reason"]
        eventually(lambda: are_gone(tree))
        assert daemon.chat(ports["ghidraagent"]) == "Hello from GhidraAgent"
        assert "the keeper was lost; a new one holds the sockets" in daemon.log.read_text()
        tree = daemon.tree()
        assert daemon.stop() == 0
        assert are_gone(tree)


def test_a_keeper_that_only_dropped_the_connection_is_found_again_and_nobody_restarted(
    daemon: Daemon,
) -> None:
    with running(daemon):
        before, keeper = daemon.units(), daemon.keeper
        for _ in range(3):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as usurper:
                usurper.connect(str(daemon.keeper_socket))
                usurper.send(encode(Hello()))  # the youngest counts
                usurper.recv(1)
            again = daemon.post("/api/v1/agents/ghidraagent/restart").json()
            assert again["status"] == "running"
        assert daemon.keeper == keeper
        assert daemon.units()["customagent"] == before["customagent"]
        assert daemon.row("ghidraagent")["generation"] == 4


async def test_an_upgrade_touches_no_agent_and_refuses_nobody(daemon: Daemon) -> None:
    with running(daemon):
        before = {slug: identity(daemon.row(slug)) for slug in daemon.units()}
        instance = daemon.get("/health").json()["instance_id"]
        async with hammering(daemon.base_port) as met, hammering(daemon.api_port, clients=1) as api:
            done = await asyncio.to_thread(daemon.run, "upgrade")
        assert done.returncode == 0, done.stderr
        assert "2 agents kept their process" in done.stdout
        assert (met.failures, met.dropped) == ([], 0)
        assert api.failures == []
        health = daemon.get("/health").json()
        assert daemon.process is not None
        assert health["pid"] == daemon.process.pid
        assert health["instance_id"] != instance
        assert {slug: identity(daemon.row(slug)) for slug in before} == before
        second = daemon.run("up")
        assert f"pid {daemon.process.pid}" in second.stderr, "the lock was never free"
        tree = daemon.tree()
        assert daemon.stop() == 0
        assert are_gone(tree)


def test_down_without_a_daemon_ends_the_agents_that_one_had_left(daemon: Daemon) -> None:
    with running(daemon):
        tree = daemon.tree()
        daemon.stop(signal.SIGKILL)
        ps = daemon.run("ps")
        assert ps.returncode == 3
        assert "its agents go on running" in ps.stderr
        assert "atoll up -d" in ps.stderr
        down = daemon.run("down")
        assert (down.returncode, "had left" in down.stdout) == (0, True), down.stderr
        eventually(lambda: are_gone(tree), 5, "the keeper has let go of all, and has only to exit")
        assert daemon.run("down").returncode == 3


async def test_a_daemon_killed_at_any_moment_of_starts_and_stops_leaves_nothing_twice(
    daemon: Daemon,
) -> None:
    """Whatever it was about to do: each agent is there once, on its port, or is stopped."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    with running(daemon):
        ports = {slug: daemon.row(slug)["port"] for slug in daemon.units()}
        for _ in range(5):
            verbs = [dice.choice(("start", "stop", "restart")) for _ in ports]
            async with httpx.AsyncClient(headers=daemon.token(), timeout=30) as client:
                urls = (
                    f"{daemon.url}/api/v1/agents/{slug}/{verb}"
                    for slug, verb in zip(ports, verbs, strict=True)
                )
                asked = [asyncio.create_task(client.post(url)) for url in urls]
                await asyncio.sleep(dice.random() * 0.3)
                await asyncio.to_thread(daemon.stop, signal.SIGKILL)
                await asyncio.gather(*asked, return_exceptions=True)
            await asyncio.to_thread(daemon.start)
        for slug, port in ports.items():
            await asyncio.to_thread(daemon.post, f"/api/v1/agents/{slug}/start")
            assert daemon.wait_for(slug, phase="running")["port"] == port, seed
        pids = set(daemon.units().values())
        living = {one.pid for one in daemon.tree() if "--server" in one.cmdline()}
        assert living == pids, seed
