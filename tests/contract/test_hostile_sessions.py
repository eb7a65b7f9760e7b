"""Session ids that want something else, and callers who want each other's words."""

import json
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import Served, serving

LIMIT = 20
SECRET = "the word of the victim"
HOSTILE = [
    "../../../etc/passwd",
    "..\\..\\windows",
    "a/../victim",
    "%2e%2e%2f",
    "\0",
    "victim\0",
    "victim\r\nSet-Cookie: a=b",
    "x" * 129,
    "x" * 10_000,
    "v\u0131ctim",
    "\uff56ictim",
    "victim\u202e",
    "👻",
    "é" * 200,
    "' or '1'='1",
    "victim'; drop table session; --",
    '"; delete from session; --',
    "%",
    "*",
    "v?ctim",
    " ",
    "victim ",
    "\t",
    "{}",
    "{{7*7}}",
    "${HOME}",
    "<script>alert(1)</script>",
    "state",
]


@pytest.fixture
def talked(tmp_path: Path):
    """An agent that somebody has talked to."""
    with serving(FakeModel(*[text("ok")] * 3), tmp_path) as served:
        body = {"message": SECRET, "session_id": "victim"}
        httpx.post(f"{served.url}/chat", json=body, timeout=LIMIT).raise_for_status()
        yield served


def is_unharmed(served: Served) -> bool:
    """The one session is there as it was, and no other one."""
    told = httpx.get(f"{served.url}/sessions/victim/export", timeout=LIMIT).json()
    alive = httpx.get(f"{served.url}/api/sessions", timeout=LIMIT).json()["active_sessions"]
    return (len(told["messages"]), alive) == (2, 1)


PATHS = [one for one in HOSTILE if one != "state"]
"""`/sessions/state` is fleet-rlm's, and no session."""


@pytest.mark.parametrize("hostile", PATHS, ids=[ascii(one)[:40] for one in PATHS])
def test_a_hostile_id_in_a_path_is_refused_and_touches_nothing(
    talked: Served, hostile: str
) -> None:
    place = f"{talked.url}/sessions/{quote(hostile, safe='')}"
    with httpx.Client(timeout=LIMIT) as http:
        answers = [http.get(place), http.delete(place), http.get(f"{place}/export")]
    for answer in answers:
        assert answer.status_code in (400, 404, 405, 414, 431), answer.text
        assert SECRET not in answer.text
        assert "set-cookie" not in answer.headers
    assert is_unharmed(talked)


@pytest.mark.parametrize("hostile", ["..", ".", "%2e%2e", "%2e", "%ff", "%c0%ae%c0%ae", "%zz"])
def test_an_id_that_clients_would_mend_is_refused_as_it_is(talked: Served, hostile: str) -> None:
    for method in (b"GET", b"DELETE"):
        head = b"%b /sessions/%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        status = talked.raw(head % (method, hostile.encode())).split(b" ", 2)[1]
        assert status in (b"400", b"404")
    assert is_unharmed(talked)


@pytest.mark.parametrize(
    "hostile", [*HOSTILE, ".", ".."], ids=[ascii(one)[:40] for one in [*HOSTILE, ".", ".."]]
)
def test_a_hostile_id_of_a_message_is_400_and_no_model_is_asked(
    talked: Served, hostile: str
) -> None:
    body = {"message": "hi", "session_id": hostile}
    with httpx.Client(timeout=LIMIT) as http:
        answers = [
            http.post(f"{talked.url}/chat", json=body),
            http.post(f"{talked.url}/stream", json=body),
        ]
        if len(hostile) < 1000:
            answers.append(http.get(f"{talked.url}/stream", params=body))
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert "a session id has 1 to 128" in answer.json()["detail"]
    assert is_unharmed(talked)


@pytest.mark.parametrize("hostile", [5, True, [], {}, 1e400])
def test_an_id_that_is_no_text_is_400(talked: Served, hostile: object) -> None:
    body = json.dumps({"message": "hi", "session_id": hostile})
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{talked.url}/chat", content=body, headers=headers, timeout=LIMIT)
    assert answer.status_code == 400
    assert is_unharmed(talked)


@pytest.mark.parametrize("hostile", [*HOSTILE[:9], "turn_0:1", "turn_0:-1", ":", "x:9" * 99])
def test_a_hostile_last_event_id_finds_nothing_and_runs_nothing(
    talked: Served, hostile: str
) -> None:
    headers = {"Last-Event-ID": quote(hostile)}
    query = {"message": "hi", "session_id": "victim"}
    answer = httpx.get(f"{talked.url}/stream", params=query, headers=headers, timeout=LIMIT)
    assert (answer.status_code, answer.text) == (204, "")
    assert is_unharmed(talked)


def test_a_list_of_sessions_holds_no_key_to_any(talked: Served) -> None:
    """Whoever knows an id is in that session: strangers learn how many there are, no more."""
    made = httpx.post(f"{talked.url}/chat", json={"message": "hi"}, timeout=LIMIT).json()
    ask = {"model": "llama2", "prompt": "hi", "stream": False}
    httpx.post(f"{talked.url}/api/generate", json=ask, timeout=LIMIT).raise_for_status()
    listed = httpx.get(f"{talked.url}/sessions", timeout=LIMIT).json()
    ids = [one["session_id"] for one in listed["sessions"]]
    assert listed["count"] == 3
    assert sorted(ids) == sorted(["vict…", "cont…", f"{made['session_id'][:4]}…"])
    states = httpx.get(f"{talked.url}/sessions/state", timeout=LIMIT).json()["sessions"]
    assert [one["session_id"] for one in states] == [one["key"] for one in states] == ids
    for beginning in ids:
        place = f"{talked.url}/sessions/{quote(beginning)}"
        assert httpx.get(place, timeout=LIMIT).status_code == 400


def test_whoever_shows_the_agents_token_is_told_whole_ids(tmp_path: Path) -> None:
    with serving(FakeModel(text("ok")), tmp_path, token="secret") as served:
        headers = {"Authorization": "Bearer secret"}
        with httpx.Client(base_url=served.url, headers=headers, timeout=LIMIT) as http:
            http.post("/chat", json={"message": "hi", "session_id": "mine"}).raise_for_status()
            assert [one["session_id"] for one in http.get("/sessions").json()["sessions"]] == [
                "mine"
            ]
        assert httpx.get(f"{served.url}/sessions", timeout=LIMIT).status_code == 401
        assert httpx.get(f"{served.url}/sessions/mine", timeout=LIMIT).status_code == 401
