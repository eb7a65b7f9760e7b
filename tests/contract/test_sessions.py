"""ATOLL's session routes as the source page shows them."""

from pathlib import Path

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


def test_a_web_form_cannot_clean_up(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served:
        answer = requests.post(f"{served.url}/api/sessions/cleanup", data={"a": 1}, timeout=10)
        assert answer.status_code == 415
        assert "application/json" in answer.json()["detail"]
