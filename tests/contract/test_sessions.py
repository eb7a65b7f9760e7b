"""ATOLL's session routes as the source page shows them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import serving


def test_sessions_are_counted_and_cleaned(tmp_path: Path) -> None:
    with serving(FakeModel(text("a"), text("b")), tmp_path) as served:
        url = f"{served.url}/api/sessions"
        assert requests.get(url, timeout=10).json() == {
            "active_sessions": 0,
            "timeout_minutes": 30,
        }
        ask = {"model": "llama2", "prompt": "hi", "stream": False}
        requests.post(f"{served.url}/api/generate", json=ask, timeout=10)
        assert requests.get(url, timeout=10).json()["active_sessions"] == 1
        cleaned = requests.post(f"{url}/cleanup", timeout=10)
        assert (cleaned.status_code, cleaned.json()) == (200, {"cleaned_sessions": 0})
        with closing(database(tmp_path)) as db:
            db.execute("update session set used_at = used_at - 1801")
        assert requests.get(url, timeout=10).json()["active_sessions"] == 0
        cleaned = requests.post(f"{url}/cleanup", timeout=10)
        assert (cleaned.status_code, cleaned.json()) == (200, {"cleaned_sessions": 1})


def database(folder: Path) -> sqlite3.Connection:
    """Somebody else who has opened the file of the sessions."""
    return sqlite3.connect(folder / "sessions.db", isolation_level=None)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_cannot_be_remembered_goes_out_without_its_context(
    tmp_path: Path, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(FakeModel(text("a", "b")), tmp_path) as served, closing(database(tmp_path)) as db:
        db.execute("begin immediate")
        ask = {"model": "llama2", "prompt": "hi", "stream": stream}
        answer = requests.post(f"{served.url}/api/generate", json=ask, timeout=10)
    last = json.loads(answer.content.splitlines()[-1])
    assert (answer.status_code, last["done"], "context" in last) == (200, True, False)
    assert [record.exc_info for record in caplog.records] == [None]
    assert "database is locked" in caplog.text


def test_a_conversation_too_long_to_keep_is_answered_without_a_context(tmp_path: Path) -> None:
    with serving(FakeModel(text("a")), tmp_path) as served:
        ask = {"model": "llama2", "prompt": "x" * (1024 * 1024), "stream": False}
        answer = requests.post(f"{served.url}/api/generate", json=ask, timeout=10)
    assert answer.json()["response"] == "a"
    assert "context" not in answer.json()


def test_health_survives_sessions_that_cannot_be_counted(tmp_path: Path) -> None:
    with serving(FakeModel(text("a")), tmp_path) as served:
        ask = {"model": "llama2", "prompt": "hi", "stream": False}
        requests.post(f"{served.url}/api/generate", json=ask, timeout=10)
        with closing(database(tmp_path)) as db:
            db.execute("drop table session")
        answer = requests.get(f"{served.url}/health", timeout=10)
    told = answer.json()
    assert (answer.status_code, told["ok"], told["sessions"]) == (200, True, 0)
    assert told["reason"] == "its sessions cannot be counted"


def test_a_web_form_cannot_clean_up(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served:
        answer = requests.post(f"{served.url}/api/sessions/cleanup", data={"a": 1}, timeout=10)
        assert answer.status_code == 415
        assert "application/json" in answer.json()["detail"]
