"""What a supervisor, a load balancer and the source pages ask an agent about itself."""

import os
from datetime import datetime
from pathlib import Path

import requests

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest, Resources
from atoll.errors import UpstreamRefused
from tests.fakes.asking import raw_request, wait_for
from tests.fakes.ports import FakeModel
from tests.fakes.serving import EndlessModel, serving


def test_health_is_the_superset_of_the_source_pages(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served:
        answer = requests.get(f"{served.url}/health", timeout=10)
    told = answer.json()
    assert answer.status_code == 200
    assert (told["status"], told["ok"], told["agent"]) == ("healthy", True, "GhidraAgent")
    assert (told["pid"], told["instance_id"]) == (os.getpid(), "instance")
    assert datetime.fromisoformat(told["timestamp"]).tzinfo
    assert told["uptime"] >= 0
    assert {"version", "sessions"} <= set(told)
    assert (told["in_flight"], told["queued"]) == (0, 0)


def test_a_back_end_that_is_down_degrades_and_is_not_ready(tmp_path: Path) -> None:
    model = FakeModel()
    model.down = UpstreamRefused("nothing listens at http://127.0.0.1:9")
    with serving(model, tmp_path) as served:
        health = requests.get(f"{served.url}/health", timeout=10)
        ready = requests.get(f"{served.url}/ready", timeout=10)
    assert health.status_code == 200
    assert (health.json()["status"], health.json()["ok"]) == ("degraded", False)
    assert "nothing listens" in health.json()["reason"]
    assert ready.status_code == 503


def test_ready_is_200_when_work_can_come(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served:
        assert requests.get(f"{served.url}/ready", timeout=10).status_code == 200


def test_with_a_token_health_stays_open_and_the_rest_asks_for_it(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path, token="s3cret") as served:
        assert requests.get(f"{served.url}/health", timeout=10).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            answer = requests.get(f"{served.url}/api/tags", headers=headers, timeout=10)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "token" in answer.json()["error"]
        right = {"Authorization": "Bearer s3cret"}
        assert requests.get(f"{served.url}/api/tags", headers=right, timeout=10).ok


def test_health_counts_the_turns_that_run_and_those_that_wait(tmp_path: Path) -> None:
    manifest = Manifest(
        agent=AgentTable(name="GhidraAgent"),
        resources=Resources(max_concurrent_requests=1, max_queue=5),
    )

    def counted() -> tuple[int, int]:
        told = requests.get(f"{served.url}/health", timeout=10).json()
        return told["in_flight"], told["queued"]

    body = b'{"model": "llama2", "prompt": "go"}'
    with serving(EndlessModel(), tmp_path, manifest=manifest) as served:
        with served.connect() as first, served.connect() as second:
            first.sendall(raw_request("POST", "/api/generate", body))
            second.sendall(raw_request("POST", "/api/generate", body))
            wait_for(lambda: counted() == (1, 1))
        wait_for(lambda: counted() == (0, 0))
