"""The whole daemon with real agents, as a user runs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, running


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "CustomAgent")
    return daemon


def test_it_says_the_source_pages_text_and_every_agent_answers(daemon: Daemon) -> None:
    with running(daemon):
        text = daemon.out.read_text()
        assert "[OK] ATOLL deployment server started" in text
        assert "  Local Server: localhost (running)\n    Agents:\n" in text
        assert f"    ● CustomAgent (Port: {daemon.base_port}) - running" in text
        assert f"    ● GhidraAgent (Port: {daemon.base_port + 1}) - running" in text
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"
        assert daemon.chat(daemon.base_port + 1) == "Hello from GhidraAgent"


def test_a_killed_agent_serves_again_on_its_port_and_nobody_is_refused(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.row("ghidraagent")
        os.kill(int(str(before["pid"])), signal.SIGKILL)
        # At once: the connection waits in the held socket until the new process takes it.
        assert daemon.chat(before["port"]) == "Hello from GhidraAgent"
        after = daemon.wait_for("ghidraagent", phase="running", restarts=1)
        assert after["port"] == before["port"]
        assert after["pid"] != before["pid"]
        assert after["last_exit"]["signal"] == "SIGKILL"
        assert daemon.row("customagent")["restarts"] == 0


def test_ports_stay_with_their_agents_over_a_restart_of_the_daemon(daemon: Daemon) -> None:
    with running(daemon):
        port = daemon.row("ghidraagent")["port"]
        assert daemon.stop() == 0
        add_agent(daemon.agents, "Aardvark")
        daemon.start()
        assert daemon.row("ghidraagent")["port"] == port
        assert daemon.row("aardvark")["port"] == daemon.base_port + 2


def test_a_port_that_a_stranger_holds_is_skipped(daemon: Daemon) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", daemon.base_port))
        stranger.listen()
        with running(daemon):
            assert daemon.row("customagent")["port"] == daemon.base_port + 2
            assert daemon.row("ghidraagent")["port"] == daemon.base_port + 1, "never another's"
            assert f"port {daemon.base_port} is in use by" in daemon.log.read_text()


def test_a_fixed_port_in_use_fails_only_that_agent_and_names_the_port(daemon: Daemon) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        add_agent(daemon.agents, "Fixed", f"[deployment]\nport = {port}\n")
        with running(daemon):
            assert f"port {port} is in use" in str(daemon.row("fixed")["reason"])
            assert daemon.row("fixed")["status"] != "running"
            assert daemon.row("ghidraagent")["status"] == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_leaves_no_process_and_no_port(
    daemon: Daemon, number: int
) -> None:
    with running(daemon):
        children = daemon.tree()
        assert len(children) >= 3, "the keeper and two agents, beside the template"
        assert daemon.stop(number) == 0
        assert are_gone(children)
        for port in (daemon.api_port, daemon.base_port, daemon.base_port + 1):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://127.0.0.1:{port}/health")


def test_a_second_daemon_is_refused_and_told_who_holds_the_fleet(daemon: Daemon) -> None:
    with running(daemon):
        assert daemon.process is not None
        second = daemon.run("up")
        assert second.returncode == 1
        assert f"pid {daemon.process.pid}" in second.stderr
        assert "atoll down" in second.stderr
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"


def test_an_operator_stops_starts_and_restarts_an_agent(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.row("ghidraagent")
        stopped = daemon.post("/api/v1/agents/ghidraagent/stop").json()
        assert (stopped["status"], stopped["pid"]) == ("stopped", None)
        with pytest.raises(httpx.ConnectError):  # refused is the truth now
            httpx.get(f"http://127.0.0.1:{before['port']}/health")
        started = daemon.post("/api/v1/agents/GhidraAgent/start").json()
        assert (started["status"], started["port"]) == ("running", before["port"])
        again = daemon.post("/api/v1/agents/ghidraagent/restart").json()
        assert again["status"] == "running"
        assert again["pid"] != started["pid"]
        assert daemon.chat(before["port"]) == "Hello from GhidraAgent"


def test_what_an_operator_stopped_stays_stopped_over_a_restart(daemon: Daemon) -> None:
    with running(daemon):
        daemon.post("/api/v1/agents/ghidraagent/stop").raise_for_status()
        daemon.stop()
        daemon.start()
        assert daemon.row("ghidraagent")["status"] == "stopped"
        assert daemon.row("customagent")["status"] == "running"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("[agent\n", "agent.toml:1:"),
        ('[agent]\nname = "X"\n[llm]\nmodle = "m"\n', "agent.toml:4:1: "),
        ('[agent]\nname = "X"\n[llm]\ntemperature = "hot"\n', "agent.toml:4:"),
        ('[agent]\nname = "../x"\n', "agent.toml:2:"),
        ('[agent]\nname = "a\\u0000b"\n', "agent.toml:2:"),
        (f'[agent]\nname = "{"n" * 300}"\n', "agent.toml:2:"),
        ('[agent]\nname = "X"\n[deployment]\nport = 22\n', "agent.toml:4:"),
        ('[agent]\nname = "X"\n[deployment]\nport = 99999\n', "agent.toml:4:"),
        ('[agent]\nname = "X"\n[deployment]\nport = "abc"\n', "agent.toml:4:"),
        ('[agent]\nname = "GhidraAgent"\n', "GhidraAgent"),
        ('[agent]\nname = "X"\n[llm]\nprovider = "local"\nmodel = "no.gguf"\n', "no.gguf"),
    ],
)
def test_a_broken_manifest_is_told_with_its_place_and_takes_nobody_down(
    daemon: Daemon, manifest: str, words: str
) -> None:
    folder = daemon.agents / "zz_broken"
    folder.mkdir()
    (folder / "agent.toml").write_text(manifest)
    with running(daemon):
        rows = {row["slug"]: row for row in daemon.get("/api/v1/agents").json()["agents"]}
        broken = [row for row in rows.values() if row["status"] == "failed"]
        assert len(broken) == 1, rows
        assert words in f"{broken[0]['reason']} {broken[0]['config_error']}"
        assert words in daemon.out.read_text()
        assert rows["ghidraagent"]["status"] == "running"


def test_tools_that_cannot_be_imported_fail_their_agent_with_the_last_line(daemon: Daemon) -> None:
    manifest = add_agent(daemon.agents, "Tools", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text("import nowhere_at_all\n")
    with running(daemon):
        row = daemon.row("tools")
        assert row["status"] != "running"
        assert "No module named 'nowhere_at_all'" in str(row["last_exit"])
        assert daemon.row("ghidraagent")["status"] == "running"


def test_an_instant_crasher_is_not_restarted_without_end(daemon: Daemon) -> None:
    more = '[tools]\npython = "tools.py"\n[deployment]\nmax_restarts = 2\nrestart_delay = 0.1\n'
    manifest = add_agent(daemon.agents, "Crasher", more)
    (manifest.parent / "tools.py").write_text("import os\nos._exit(3)\n")
    with running(daemon):
        row = daemon.wait_for("crasher", phase="failed")
        assert row["restarts"] == 2
        assert row["last_exit"]["code"] == 3
        (manifest.parent / "tools.py").write_text("")
        started = daemon.post("/api/v1/agents/crasher/start").json()
        assert started["status"] == "running"


def test_an_agent_that_prints_without_end_is_not_blocked_and_its_log_is_bounded(
    daemon: Daemon,
) -> None:
    manifest = add_agent(daemon.agents, "Loud", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text(
        "import threading\n"
        "def _shout():\n"
        "    for _ in range(200_000):\n"
        "        print('x' * 500)\n"
        "threading.Thread(target=_shout, daemon=True).start()\n"
    )
    with running(daemon):
        assert daemon.chat(daemon.row("loud")["port"]) == "Hello from Loud"
        logs = list((daemon.state / "logs").glob("loud.log*"))
        assert logs
        assert sum(path.stat().st_size for path in logs) < 60_000_000
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"


def test_four_agents_are_ready_soon_after_the_daemon_starts(daemon: Daemon) -> None:
    add_agent(daemon.agents, "Third")
    add_agent(daemon.agents, "Fourth")
    with running(daemon):
        rows = daemon.get("/api/v1/agents").json()
        assert rows["count"] == 4
        assert {row["status"] for row in rows["agents"]} == {"running"}


def test_down_ends_a_daemon_in_the_background(daemon: Daemon) -> None:
    up = daemon.run("up", "-d")
    assert up.returncode == 0, up.stderr
    assert "[OK] ATOLL deployment server started" in up.stdout
    try:
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"
    finally:
        down = daemon.run("down")
    assert down.returncode == 0, down.stderr
    assert daemon.run("ps").returncode == 3
    assert daemon.run("down").returncode == 3


def test_logs_hold_what_an_agent_said(daemon: Daemon) -> None:
    manifest = add_agent(daemon.agents, "Talker", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text("print('here I am')\n")
    with running(daemon):
        eventually(lambda: "here I am" in daemon.run("logs", "talker").stdout)


def test_no_agent_sees_the_daemons_token_or_a_secret_of_the_environment(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = add_agent(daemon.agents, "Nosy", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text("import os\nprint('ENV', dict(os.environ))\n")
    with running(daemon):
        eventually(lambda: "ENV" in daemon.run("logs", "nosy").stdout)
        token = (daemon.state / "token").read_text().strip()
        assert token not in daemon.run("logs", "nosy", "--tail", "1000").stdout


def test_an_address_beyond_loopback_is_refused_without_tokens_and_says_what_mends_it(
    daemon: Daemon,
) -> None:
    without_token = daemon.run("up", "--host", "0.0.0.0")
    assert without_token.returncode == 5
    assert "set ATOLL_AGENT_TOKEN" in without_token.stderr
    assert "--host 127.0.0.1" in without_token.stderr
    without_auth = daemon.run("up", "--host", "0.0.0.0", "--auth", "none")
    assert without_auth.returncode == 5
    assert "drop --auth none, or use --host 127.0.0.1" in without_auth.stderr


def test_a_port_of_the_daemon_in_use_is_named_with_its_flag(daemon: Daemon) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", daemon.api_port))
        stranger.listen()
        refused = daemon.run("up")
    assert refused.returncode == 1
    assert f"port {daemon.api_port} is in use" in refused.stderr
    assert "--api-port" in refused.stderr


def test_an_upstream_that_is_down_fails_the_turn_and_not_the_agent(daemon: Daemon) -> None:
    more = f"[deployment]\nport = {daemon.base_port + 9}\n"
    manifest = add_agent(daemon.agents, "Lonely", more)
    text = (
        manifest.read_text().replace('"scripted"', '"ollama"').replace('script = "script.toml"', "")
    )
    manifest.write_text(
        text.replace('model = "llama2"', 'model = "llama2"\nbase_url = "http://127.0.0.1:1"')
    )
    with running(daemon):
        url = f"http://127.0.0.1:{daemon.row('lonely')['port']}"
        health = httpx.get(f"{url}/health")
        assert health.status_code == 200
        assert (health.json()["status"], health.json()["ok"]) == ("degraded", False)
        body = {"model": "lonely", "messages": [{"role": "user", "content": "hi"}]}
        answer = httpx.post(f"{url}/api/chat", json=body, timeout=30)
        assert answer.status_code == 502
        assert "http://127.0.0.1:1" in answer.json()["error"]
        assert daemon.row("lonely")["restarts"] == 0
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"


def test_a_hangup_signal_makes_it_look_at_the_agents_again(daemon: Daemon) -> None:
    with running(daemon):
        kept = daemon.row("customagent")
        manifest = add_agent(daemon.agents, "Newcomer")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.get("/api/v1/agents/newcomer").status_code == 200)
        new = daemon.wait_for("newcomer", phase="running")
        assert daemon.chat(new["port"]) == "Hello from Newcomer"
        manifest.write_text("[agent\n")  # a broken edit leaves what runs alone
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.row("newcomer")["config_error"] is not None)
        assert "agent.toml:1:" in str(daemon.row("newcomer")["config_error"])
        assert daemon.row("newcomer")["pid"] == new["pid"]
        shutil.rmtree(manifest.parent)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.get("/api/v1/agents/newcomer").status_code == 404)
        assert daemon.row("customagent")["pid"] == kept["pid"]


def test_agents_over_the_limit_are_refused_by_name(daemon: Daemon, tmp_path: Path) -> None:
    (daemon.agents.parent / "atoll.toml").write_text("[daemon]\nmax_agents = 1\n")
    with running(daemon):
        assert daemon.row("customagent")["status"] == "running"
        assert "max_agents is 1" in str(daemon.row("ghidraagent")["reason"])


@pytest.mark.parametrize("deaf", ["stdout", "stderr"])
def test_a_reader_that_went_away_takes_nothing_down(daemon: Daemon, deaf: str) -> None:
    """As in `atoll up | head -1`, or with the terminal closed."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        daemon.start(settled=False, **{deaf: writer})
        pid = daemon.wait_for("customagent", phase="running")["pid"]
        daemon.wait_for("ghidraagent", phase="running")
        os.kill(int(str(pid)), signal.SIGKILL)
        daemon.wait_for("customagent", phase="running", restarts=1)
        children = daemon.tree()
        assert daemon.stop() == 0
        assert are_gone(children)
    finally:
        os.close(writer)
        daemon.stop(signal.SIGKILL)


def test_a_full_disk_under_its_own_log_takes_nothing_down(daemon: Daemon) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        daemon.start(settled=False, stderr=full)
        daemon.wait_for("customagent", phase="running")
        assert daemon.stop() == 0
    finally:
        os.close(full)
        daemon.stop(signal.SIGKILL)


def test_two_agents_of_one_name_are_told_also_when_their_folders_have_one_slug(
    daemon: Daemon,
) -> None:
    add_agent(daemon.agents, "Twin", folder="Twin")
    add_agent(daemon.agents, "twin", folder="twin")
    with running(daemon):
        second = daemon.row("twin.2")
        assert second["status"] == "failed"
        assert "has the same key (twin) as" in str(second["reason"])
        assert "same key (twin)" in daemon.out.read_text()
        assert daemon.row("twin")["status"] == "running"


def test_the_daemons_own_port_is_no_agents(daemon: Daemon) -> None:
    add_agent(daemon.agents, "Greedy", f"[deployment]\nport = {daemon.api_port}\n")
    with running(daemon):
        assert "is the daemon's own" in str(daemon.row("greedy"))
        assert daemon.row("customagent")["status"] == "running"


def test_a_state_directory_of_others_is_refused_and_left_as_it_is(daemon: Daemon) -> None:
    daemon.state.mkdir()
    daemon.state.chmod(0o1777)
    refused = daemon.run("up")
    assert refused.returncode == 5
    assert "others may write" in refused.stderr
    assert daemon.state.stat().st_mode & 0o7777 == 0o1777


def test_a_state_directory_behind_a_link_of_our_own_serves(daemon: Daemon, tmp_path: Path) -> None:
    """systemd gives such a one to a service with DynamicUser=."""
    (tmp_path / "private").mkdir(mode=0o700)
    daemon.state.symlink_to("private")
    with running(daemon):
        assert daemon.chat(daemon.base_port) == "Hello from CustomAgent"


def test_it_serves_on_ipv6_loopback(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "--host", "::1")
    daemon.url = f"http://[::1]:{daemon.api_port}"
    add_agent(daemon.agents, "Six")
    with running(daemon):
        assert f"Management: {daemon.url}" in daemon.out.read_text()
        assert "Six" in daemon.run("ps").stdout
        row = daemon.row("six")
        assert row["url"] == f"http://[::1]:{daemon.base_port}"
        assert httpx.get(f"{row['url']}/api/version").status_code == 200


def test_somebody_who_follows_a_log_does_not_hold_the_daemon_up(daemon: Daemon) -> None:
    with running(daemon):
        command = [sys.executable, "-m", "atoll_supervisor", "logs", "-f", "customagent"]
        follower = subprocess.Popen(
            command, env=daemon.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert follower.stdout is not None
        assert follower.stdout.readline()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 4.5, "less than the 5 s that the API waits for answers"
        assert follower.wait(20) == 0
        follower.stdout.close()
