"""A workflow of three agents whose models' server counts every question and hears every webhook.

What it saw is what the world saw of a run: whoever is killed meanwhile, that can be checked.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.fakes.daemon import Daemon
from tests.fakes.upstream import Reply, Request, Upstream, ollama_chat, upstream_in_thread, whole

AGENT = """
[agent]
name = "{name}"
[llm]
provider = "ollama"
base_url = "{url}"
model = "{name}"
[io]
input = "query: str"
{io}
[deployment]
restart = "always"
restart_delay = 0.05
max_restarts = 1000
"""
CHAIN = {
    "first": 'output = "query: str"\nhand_off = "second"',
    "second": 'output = "query: str"\nhand_off_choices = ["third"]',
    "third": 'output = "result: str"',
}
SHOW = {"model_info": {"general.architecture": "llama"}, "capabilities": ["completion"]}


class Question(NamedTuple):
    """What a model is asked: by which agent, and whether to do its step or to choose."""

    agent: str
    chooses: bool = False


ANSWERED_BY = {
    Question("first"): ("step_completed", 1),
    Question("second"): ("step_completed", 2),
    Question("second", chooses=True): ("chosen", 2),
    Question("third"): ("step_completed", 3),
}
"""Type and step of the event that tells that a question has its answer."""


class Outside:
    """What happened outside of the daemon, by the mark of the run."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.url = upstream.url

    def asked(self, mark: str) -> Counter[Question]:
        """How often each question of the run was asked."""
        asked = self._upstream.asked("/api/chat")
        return Counter(_question(one) for one in asked if f"<{mark}>" in one.body.decode())

    def told(self, mark: str) -> list[dict]:
        """The run objects that its webhook was sent."""
        return [one.json for one in self._upstream.asked(f"/hook?{mark}")]

    def order(self, mark: str, policy: str, in_background: bool) -> dict:
        """The request for the run with this mark."""
        return {
            "agent_name": "first",
            "inputs": {"query": f"<{mark}>"},
            "async_run": in_background,
            "on_interrupt": policy,
            "webhook": {"url": f"{self.url}/hook?{mark}"},
        }


@contextmanager
def chain(folder: Path) -> Iterator[tuple[Daemon, Outside]]:
    """The fleet, not yet started, and its outside."""
    with upstream_in_thread(_prepare) as upstream:
        daemon = Daemon(folder)
        for name, io in CHAIN.items():
            place = daemon.agents / name
            place.mkdir()
            manifest = AGENT.format(name=name, url=upstream.url, io=io)
            (place / "agent.toml").write_text(manifest)
        yield daemon, Outside(upstream)


def _prepare(upstream: Upstream) -> None:
    upstream.on("/api/version", whole({"version": "0.13.0"}))
    upstream.on("/api/show", whole(SHOW))
    upstream.on("/api/tags", whole({"models": []}))
    upstream.on("/api/chat", _answer)
    upstream.on("/hook", whole({}))


def _question(request: Request) -> Question:
    return Question(request.json["model"], "Who should go on?" in request.body.decode())


def _answer(request: Request) -> Reply:
    """Each step hands the mark on; the choice is sure."""
    question, mark = _question(request), re.search(r"<mark-\d+>", request.body.decode())
    assert mark is not None
    if question.chooses:
        return ollama_chat(json.dumps({"agent": "third", "confidence": 1}))
    field = "result" if question.agent == "third" else "query"
    return ollama_chat(json.dumps({field: mark[0]}))
