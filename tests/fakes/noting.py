"""A workflow whose agents write down each time they are asked, and a client of runs."""

from collections import Counter
from pathlib import Path

import httpx

from tests.fakes.daemon import PLAIN, Daemon, eventually
from tests.fakes.workers import add_worker

LIMIT = 60
ENDS = ("completed", "failed", "cancelled")

NOTES = """
from pathlib import Path

def note(word: str) -> str:
    \"\"\"Write a word down.\"\"\"
    with Path({path!r}).open("a") as file:
        file.write(word + "\\n")
    return "noted"
"""
# With tools and a form to keep to, a model is asked for its answer once more, held to the form.
NOTING = """
[[turn]]
[[turn.call]]
name = "note"
arguments = {{ word = "{word}" }}

[[turn]]
chunks = ["I have it."]

[[turn]]
delay = {delay}
chunks = ['{said}']
"""


def add_noting(daemon: Daemon, name: str, said: str, delay: float, **kinds: str) -> None:
    """An agent that writes its name into `notes` in each step, and then takes its time."""
    more = '[tools]\npython = "tools.py"\n[deployment]\nrestart = "always"\nrestart_delay = 0.05'
    folder = add_worker(daemon.agents, name, more=more, **kinds).parent
    notes = str(daemon.agents.parent / "notes")
    (folder / "tools.py").write_text(NOTES.format(path=notes))
    (folder / "script.toml").write_text(
        'capabilities = ["completion", "tools"]\n'
        + NOTING.format(word=name, delay=delay, said=said)
    )


def noted(daemon: Daemon) -> Counter[str]:
    """How often each agent was asked."""
    path = daemon.agents.parent / "notes"
    return Counter(path.read_text().split() if path.exists() else [])


def start(daemon: Daemon, agent: str, kind: str = "agent", key: str = "", **more: object) -> dict:
    """A run that has just been asked for, in the background."""
    body = {"agent_name": agent, "inputs": {"query": "go"}, "async_run": True, **more}
    headers = {"Idempotency-Key": key} if key else {}
    url = f"{daemon.url}/run/{kind}"
    answer = httpx.post(url, json=body, headers=headers, timeout=LIMIT, verify=PLAIN)
    return answer.raise_for_status().json()


def ended(daemon: Daemon, run_id: str) -> dict:
    """The run once it has ended."""
    told: dict = {}

    def is_over() -> bool:
        nonlocal told
        told = daemon.get(f"/run/{run_id}").raise_for_status().json()
        return told["status"] in ENDS

    eventually(is_over, LIMIT, "the run did not end")
    return told


def events(daemon: Daemon, run_id: str) -> list[dict]:
    """What has happened to the run."""
    url = f"{daemon.url}/run/{run_id}/events"
    answer = httpx.get(url, headers={"Accept": "application/json"}, timeout=LIMIT, verify=PLAIN)
    return answer.raise_for_status().json()["events"]


def workflow(tmp_path: Path, first: float = 0.0, second: float = 1.0) -> Daemon:
    """Two agents; how many seconds each takes."""
    daemon = Daemon(tmp_path)
    to_second = 'hand_off = "second"'
    add_noting(daemon, "first", '{"query": "x"}', first, gives="query: str", io=to_second)
    add_noting(daemon, "second", '{"result": "done"}', second)
    return daemon
