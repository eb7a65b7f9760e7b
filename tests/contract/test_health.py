"""What a supervisor, a load balancer and the source pages ask an agent about itself."""

import os
from datetime import datetime
from pathlib import Path

import requests

from atoll.errors import UpstreamRefused
from tests.fakes.ports import FakeModel
from tests.fakes.serving import serving


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
