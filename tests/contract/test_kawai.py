"""The Kawai dialect: `POST /chat`, `/stream`, `/sessions`, over a real socket."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from atoll.config.manifest import Server, Session
from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, ModelInfo, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.contract.test_sessions import database
from tests.fakes.asking import THINKER
from tests.fakes.daemon import eventually
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import MANIFEST, EndlessModel, Served, serving

LIMIT = 20


def post(served: Served, **body: object) -> httpx.Response:
    return httpx.post(f"{served.url}/chat", json=body, timeout=LIMIT)


def events_in(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """As the page's own client reads them: every line that is not empty is `data: {json}`."""
    for line in lines:
        if line:
            yield json.loads(line.removeprefix("data: "))


@contextmanager
def stream(
    served: Served, headers: dict[str, str] | None = None, **query: str
) -> Iterator[httpx.Response]:
    url = f"{served.url}/stream"
    with httpx.stream("GET", url, params=query, headers=headers, timeout=LIMIT) as answer:
        yield answer


def streamed(served: Served, **query: str) -> list[dict[str, Any]]:
    with stream(served, **query) as answer:
        return list(events_in(answer.iter_lines()))


def with_rules(**tables: object) -> Any:
    return msgspec.structs.replace(MANIFEST, **tables)


# POST /chat


def test_a_message_is_answered_with_what_both_pages_promise(served: Served) -> None:
    answer = post(served, message="What is ML?")
    said = answer.json()
    assert answer.status_code == 200
    assert said["answer"] == said["response"] == said["assistant_response"] == "Hello wörld"
    assert (said["steps"], said["completed"], said["plan"], said["trajectory"]) == (
        1,
        True,
        None,
        [],
    )
    assert (len(said["session_id"]), said["history_turns"]) == (32, 1)


def test_a_session_remembers_and_another_one_knows_nothing_of_it(
    served: Served, model: FakeModel
) -> None:
    post(served, message="What is Python?", session_id="user-123")
    post(served, message="And its features?", session_id="user-123")
    post(served, message="hi", session_id="somebody.else@example.org")
    told = [[message.content for message in asked.messages] for asked in model.requests]
    assert told[1][-3:] == ["What is Python?", "Hello wörld", "And its features?"]
    assert told[2][-1:] == ["hi"]
    assert "Python" not in str(told[2])


def test_tools_are_told_as_a_trajectory(tmp_path: Path) -> None:
    calls: list[Chunk] = [
        ThinkingDelta("I need "),
        ThinkingDelta("the time"),
        CallsDelta((Call("c1", "clock", {"zone": "UTC"}),)),
        Done("stop", USAGE),
    ]
    model = FakeModel(calls, text("noon"), info=THINKER)
    with serving(model, tmp_path, tools=FakeTools(clock='{"hour": 12}')) as served:
        said = post(served, message="what time is it?").json()
    assert said["trajectory"] == [
        {
            "index": 0,
            "thought": "I need the time",
            "tool_name": "clock",
            "input": {"zone": "UTC"},
            "output": '{"hour": 12}',
            "observation": '{"hour": 12}',
        }
    ]
    assert (said["answer"], said["steps"]) == ("noon", 2)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": 5}, "message"),
        ({"message": "x", "max_steps": 0}, "max_steps"),
        ({"message": "x", "session_id": "a/../b"}, "session id"),
        ({"message": "x", "session_id": ".."}, "session id"),
        ({"message": "x", "session_id": "state"}, "session id"),
        ({"message": "x", "session_id": "x" * 129}, "session id"),
        ({"message": "x", "docs_path": "/etc/passwd"}, "docs_path"),
    ],
)
def test_a_wrong_message_is_400_and_says_what_is_wrong(
    served: Served, body: dict[str, object], told: str
) -> None:
    answer = post(served, **body)
    assert (answer.status_code, told in answer.json()["detail"]) == (400, True), answer.text


def test_a_model_that_is_not_there_is_its_own_status(tmp_path: Path) -> None:
    with serving(FakeModel(UpstreamRefused("nobody listens")), tmp_path) as served:
        answer = post(served, message="hi", session_id="s")
        assert (answer.status_code, answer.json()["who"]) == (502, "upstream")
        assert httpx.get(f"{served.url}/sessions/s").status_code == 404, "nothing to remember"


def test_an_answer_that_cannot_be_written_is_not_acknowledged(tmp_path: Path) -> None:
    with serving(FakeModel(text("a")), tmp_path) as served, closing(database(tmp_path)) as db:
        db.execute("create table held (x)")
        db.execute("begin immediate")
        answer = post(served, message="hi", session_id="s")
        assert (answer.status_code, answer.json()["code"]) == (500, "agent_failed")


def test_a_conversation_longer_than_the_context_is_shown_in_part_and_says_so(
    tmp_path: Path,
) -> None:
    info = ModelInfo(backend="scripted", model="fake", context_length=100)
    model = FakeModel(text("one"), text("two"), info=info)
    with serving(model, tmp_path) as served:
        post(served, message="x" * 280, session_id="s")
        events = streamed(served, message="y" * 280, session_id="s")
        assert httpx.get(f"{served.url}/sessions/s").json()["message_count"] == 4
    warnings = [event["data"]["message"] for event in events if event["type"] == "warning"]
    assert ["oldest 2 messages are not shown" in warning for warning in warnings] == [True]
    assert "xxx" not in str(model.requests[1].messages)


# /stream


def test_a_stream_tells_the_steps_and_always_the_session(tmp_path: Path) -> None:
    calls: list[Chunk] = [
        ThinkingDelta("hm"),
        ThinkingDelta("m"),
        CallsDelta((Call("c1", "clock", {}),)),
        Done("stop", USAGE),
    ]
    model = FakeModel(calls, text("it is ", "noon"), info=THINKER)
    tools = FakeTools(clock='{"hour": 12}')
    with (
        serving(model, tmp_path, tools=tools) as served,
        stream(served, message="time?") as answer,
    ):
        events = list(events_in(answer.iter_lines()))
        session_id = answer.headers["x-session-id"]
    assert [event["type"] for event in events] == [
        "run_start",
        "step_start",
        "reasoning",
        "tool_call",
        "tool_result",
        "step_start",
        "run_end",
    ]
    data = {event["type"]: event["data"] for event in events}
    assert data["run_start"] == {
        "prompt": "time?",
        "model": "ghidraagent",
        "session_id": session_id,
    }
    assert data["reasoning"] == {"reasoning": "hmm"}
    assert data["tool_result"] == {"tool_name": "clock", "tool_result": {"hour": 12}}
    assert data["run_end"]["answer"] == "it is noon"


def test_a_message_may_be_posted_to_keep_it_out_of_the_url(served: Served) -> None:
    answer = httpx.post(f"{served.url}/stream", json={"message": "hi"}, timeout=LIMIT)
    assert [event["type"] for event in events_in(iter(answer.text.splitlines()))][-1] == "run_end"


def test_a_turn_that_fails_still_ends_its_stream(failing: Served) -> None:
    events = streamed(failing, message="hi")
    assert [event["type"] for event in events] == ["run_start", "step_start", "error"]
    assert "went away" in events[-1]["data"]["error"]


def test_a_picture_on_a_strangers_page_starts_nothing(served: Served, model: FakeModel) -> None:
    with stream(served, {"Sec-Fetch-Site": "cross-site"}, message="hi") as answer:
        assert answer.status_code == 403
    assert httpx.head(f"{served.url}/stream?message=hi").status_code == 405
    assert model.requests == []


@pytest.mark.parametrize("query", [{}, {"message": "x", "max_steps": "many"}])
def test_a_wrong_query_is_400(served: Served, query: dict[str, str]) -> None:
    with stream(served, **query) as answer:
        assert answer.status_code == 400


# A client that leaves, and one that comes back


def test_a_client_that_leaves_ends_the_turn_and_what_was_said_is_kept(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        with stream(served, message="hi", session_id="s"):
            eventually(lambda: model.requests)
            eventually(lambda: served.agent.conversations.latest("s"))
            time.sleep(0.1)  # a word or two
        assert model.stopped.wait(LIMIT)
        eventually(lambda: httpx.get(f"{served.url}/sessions/s").status_code == 200)
        told = httpx.get(f"{served.url}/sessions/s/export").json()["messages"]
    assert [message["role"] for message in told] == ["user", "assistant"]
    assert told[1]["content"].startswith("tick ")


class GatedModel(FakeModel):
    """Says a word, then waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    async def stream(self, request):
        self.requests.append(request)
        yield ThinkingDelta("first")
        yield TextDelta("one ")
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        yield TextDelta("two")
        yield Done("stop", USAGE)


@pytest.mark.parametrize("policy", ["detach", 30.0])
def test_a_turn_that_was_left_goes_on_and_is_joined_without_gap_or_repeat(
    tmp_path: Path, policy: Any
) -> None:
    model = GatedModel()
    manifest = with_rules(server=Server(on_disconnect=policy))
    with serving(model, tmp_path, manifest=manifest) as served:
        with stream(served, message="hi", session_id="s", ids="1") as answer:
            lines = answer.iter_lines()
            seen = [next(lines) for _ in range(3)]
        assert seen[1].startswith("data: "), seen
        last = seen[0].removeprefix("id: ")
        model.go_on.set()
        with stream(served, {"Last-Event-ID": last}, message="hi", session_id="s") as answer:
            rest = [line for line in answer.iter_lines() if line.startswith("data")]
        with stream(served, {"Last-Event-ID": last}, session_id="s") as again:
            assert [line for line in again.iter_lines() if line.startswith("data")] == rest
        with stream(served, {"Last-Event-ID": "turn_0:1"}, session_id="s") as other:
            assert other.status_code == 204, "an EventSource need not come again"
    kinds = [json.loads(line.removeprefix("data: "))["type"] for line in rest]
    assert kinds == ["step_start", "reasoning", "run_end"]
    assert len(model.requests) == 1


def test_a_turn_that_nobody_comes_back_to_ends_when_its_time_is_up(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path, manifest=with_rules(server=Server(on_disconnect=0.2))) as served:
        with stream(served, message="hi", session_id="s"):
            eventually(lambda: model.requests)
        assert model.stopped.wait(LIMIT)


# Two turns of one session


def two_at_once(served: Served, model: GatedModel, second: str = "second") -> list[httpx.Response]:
    """The answers to two messages of one session, the second sent while the first is answered."""
    answers: list[httpx.Response | None] = [None, None]

    def ask(number: int, message: str) -> None:
        answers[number] = post(served, message=message, session_id="s")

    asking = [threading.Thread(target=ask, args=(0, "first"))]
    asking[0].start()
    eventually(lambda: len(model.requests) == 1)
    asking.append(threading.Thread(target=ask, args=(1, second)))
    asking[1].start()
    time.sleep(0.2)
    model.go_on.set()
    for thread in asking:
        thread.join(LIMIT)
    return [answer for answer in answers if answer is not None]


def test_a_second_turn_waits_for_the_first_and_knows_what_it_said(tmp_path: Path) -> None:
    model = GatedModel()
    with serving(model, tmp_path) as served:
        answers = two_at_once(served, model)
    assert [answer.status_code for answer in answers] == [200, 200]
    told = [message.content for message in model.requests[1].messages]
    assert told[-3:] == ["first", "one two", "second"]


def test_a_second_turn_is_refused_where_the_agent_says_so(tmp_path: Path) -> None:
    model = GatedModel()
    manifest = with_rules(session=Session(concurrency="reject"))
    with serving(model, tmp_path, manifest=manifest) as served:
        first, second = two_at_once(served, model)
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["code"] == "session_busy"


def test_a_second_turn_interrupts_the_first_where_the_agent_says_so(tmp_path: Path) -> None:
    model = GatedModel()
    manifest = with_rules(session=Session(concurrency="interrupt"))
    with serving(model, tmp_path, manifest=manifest) as served:
        first, second = two_at_once(served, model)
    assert (first.status_code, second.status_code) == (409, 200)
    told = [message.content for message in model.requests[1].messages]
    assert told[-3:] == ["first", "one ", "second"], "what was said is not lost"


# /sessions


def test_a_session_is_listed_told_exported_and_deleted(served: Served) -> None:
    post(served, message="hi", session_id="s")
    url = f"{served.url}/sessions"
    told = httpx.get(f"{url}/s").json()
    assert (told["session_id"], told["message_count"]) == ("s", 2)
    assert told["created_at"] <= told["last_accessed"]
    assert httpx.get(url).json() == {"sessions": [{**told, "session_id": "s…"}], "count": 1}
    exported = httpx.get(f"{url}/s/export").json()["messages"]
    assert [message["content"] for message in exported] == ["hi", "Hello wörld"]
    gone = httpx.delete(f"{url}/s")
    assert (gone.status_code, gone.json()) == (200, {"session_id": "s", "deleted": True})
    for answer in (httpx.get(f"{url}/s"), httpx.delete(f"{url}/s"), httpx.get(f"{url}/s/export")):
        assert answer.status_code == 404
        assert "no session 's'" in answer.json()["detail"]


def test_asking_for_a_session_does_not_make_it_live_longer(served: Served, tmp_path: Path) -> None:
    post(served, message="hi", session_id="s")
    with closing(database(tmp_path)) as db:
        db.execute("update session set used_at = used_at - 1790")
        before = httpx.get(f"{served.url}/sessions/s").json()
        assert httpx.get(f"{served.url}/sessions/s").json() == before
        db.execute("update session set used_at = used_at - 11")
    assert httpx.get(f"{served.url}/sessions/s").status_code == 404


def test_deleting_a_session_ends_the_turn_that_it_has_under_way(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        with stream(served, message="hi", session_id="s") as answer:
            eventually(lambda: model.requests)
            assert httpx.delete(f"{served.url}/sessions/s").json()["deleted"] is True
            last = list(events_in(answer.iter_lines()))[-1]
        assert last["data"]["code"] == "cancelled"
        assert httpx.get(f"{served.url}/sessions/s").status_code == 404
