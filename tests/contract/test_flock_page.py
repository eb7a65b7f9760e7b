"""The client examples of Flock's page, with only host and port changed, against a daemon."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import PLAIN, Daemon, running
from tests.fakes.workers import add_worker

PAGE = "http://localhost:8344"
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CLIENT = """
import requests
import time

# Run an agent synchronously
response = requests.post(
    "http://localhost:8344/run/agent",
    json={
        "agent_name": "my_agent",
        "inputs": {
            "query": "Hello, world!"
        },
        "async_run": False
    }
)
result = response.json()
print(f"Result: {result['result']}")

# Run an agent asynchronously
response = requests.post(
    "http://localhost:8344/run/agent",
    json={
        "agent_name": "my_agent",
        "inputs": {
            "query": "Hello, world!"
        },
        "async_run": True
    }
)
run_id = response.json()["run_id"]

# Poll for the result
while True:
    response = requests.get(f"http://localhost:8344/run/{run_id}")
    status = response.json()
    if status["status"] in ["completed", "failed"]:
        break
    time.sleep(1)

if status["status"] == "completed":
    print(f"Result: {status['result']}")
else:
    print(f"Error: {status['error']}")
"""
BODY = {"agent_name": "my_agent", "inputs": {"query": "Hello, world!"}, "async_run": False}
FIELDS = ["run_id", "status", "result", "started_at", "completed_at", "error"]
"""The run object of the page, in its order."""


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("flock"))
    said = {"result": "Processed: Hello, world!"}
    add_worker(daemon.agents, "my_agent", said)
    add_worker(daemon.agents, "start_agent", {"query": "more"}, gives="query: str",
               io='hand_off = "my_agent"')  # fmt: skip
    slow = {"result": "at last"}
    add_worker(daemon.agents, "slow_agent", slow, delay=60)
    with running(daemon):
        yield daemon


def asked(flock: Daemon, path: str, **changes: object) -> dict:
    answer = httpx.post(flock.url + path, json=BODY | changes, timeout=30, verify=PLAIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(flock: Daemon, run_id: str) -> dict:
    return flock.get(f"/run/{run_id}").raise_for_status().json()


def test_the_python_client_runs_unmodified(flock: Daemon) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT.replace(PAGE, flock.url)],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    line = "Result: {'result': 'Processed: Hello, world!'}\n"
    assert (done.returncode, done.stdout) == (0, line * 2), done.stderr


@pytest.mark.parametrize(
    ("path", "agent"), [("/run/agent", "my_agent"), ("/run/flock", "start_agent")]
)
def test_a_run_answers_with_the_page_s_object(flock: Daemon, path: str, agent: str) -> None:
    run = asked(flock, path, agent_name=agent)
    assert list(run)[:6] == FIELDS
    assert UUID.fullmatch(run["run_id"])
    assert TIME.fullmatch(run["started_at"])
    assert TIME.fullmatch(run["completed_at"])
    assert (run["status"], run["error"]) == ("completed", None)
    assert run["result"] == {"result": "Processed: Hello, world!"}
    assert read(flock, run["run_id"]) == run


def test_a_run_that_goes_on_has_no_result_and_no_end(flock: Daemon) -> None:
    run = asked(flock, "/run/agent", agent_name="slow_agent", async_run=True)
    assert run["status"] in ("starting", "running")
    shown = read(flock, run["run_id"])
    assert shown["run_id"] == run["run_id"]
    assert (shown["result"], shown["completed_at"], shown["error"]) == (None, None, None)
    ended = flock.post(f"/run/{run['run_id']}/cancel").json()
    assert (ended["status"], ended["result"]) == ("cancelled", None)


def test_an_unknown_agent_is_a_failed_run(flock: Daemon) -> None:
    run = asked(flock, "/run/agent", agent_name="unknown_agent")
    assert {key: run[key] for key in ("status", "result", "error")} == {
        "status": "failed",
        "result": None,
        "error": "Agent 'unknown_agent' not found",
    }
    assert TIME.fullmatch(run["completed_at"])
    assert read(flock, run["run_id"]) == run


def test_the_agents_are_listed_with_their_signatures(flock: Daemon) -> None:
    rows = {row["name"]: row for row in flock.get("/agents").json()["agents"]}
    keys = ("description", "input_schema", "output_schema", "hand_off")
    assert {key: rows["my_agent"][key] for key in keys} == {
        "description": "The my_agent",
        "input_schema": "query: str | The query to process",
        "output_schema": "result: str | The processed result",
        "hand_off": None,
    }
    assert rows["start_agent"]["hand_off"] == "my_agent"


def test_an_unknown_run_is_404_in_flock_s_words(flock: Daemon) -> None:
    answer = flock.get("/run/123e4567-e89b-12d3-a456-426614174000")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Run not found"


def test_the_page_s_bodies_are_json_as_they_stand(flock: Daemon) -> None:
    text = json.dumps(BODY)
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(flock.url + "/run/agent", content=text, headers=headers, verify=PLAIN)
    assert answer.json()["status"] == "completed"


OWN_PAGE = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[Daemon]:
    """The agents of our own page, as it writes them, on a script."""
    daemon = Daemon(tmp_path)
    scripts = {
        "researcher": {"facts": ["It is old."], "topic": "Turku"},
        "writer": {"text": "Turku is old."},
    }
    manifests = re.findall(r"^```toml\n(.*?)^```$", OWN_PAGE, re.DOTALL | re.MULTILINE)
    assert len(manifests) == len(scripts)
    for (name, said), manifest in zip(scripts.items(), manifests, strict=True):
        path = add_worker(daemon.agents, name, said)
        path.write_text(f'{manifest}\n[llm]\nprovider = "scripted"\nscript = "script.toml"\n')
    with running(daemon):
        yield daemon


@pytest.mark.skipif(shutil.which("curl") is None, reason="wants the package curl")
def test_the_commands_of_our_own_page_work(documented: Daemon) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", OWN_PAGE, re.DOTALL | re.MULTILINE)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 6
    *typed, listing = (one for one in commands if one.startswith(".venv/bin/atoll"))
    told = []
    for command in commands:
        if command in (*typed, listing):
            continue
        here = command.replace("http://127.0.0.1:8099", documented.url)
        done = subprocess.run(
            ["bash", "-c", here], capture_output=True, timeout=30, stdin=subprocess.DEVNULL
        )
        told.append(json.loads(done.stdout))
    agent, flock, listed, batch = told
    assert agent["result"] == flock["result"] == {"text": "Turku is old."}
    assert flock["path"] == ["researcher", "writer"]
    assert [one["run_id"] for one in listed["runs"]] == [agent["run_id"]]
    assert batch["total_items"] == 2
    for command in typed:
        started = documented.run(*shlex.split(command)[1:])
        assert (started.returncode, started.stdout) == (0, "Turku is old.\n"), started.stderr
    assert "writer" in documented.run(*shlex.split(listing)[1:]).stdout
