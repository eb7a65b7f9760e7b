"""The fleet-rlm dialect over a real WebSocket."""

import asyncio
import json
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from atoll.config.manifest import Server, Session
from atoll.errors import UpstreamRefused
from atoll.http.fleet_rlm.talk import MOST_FAULTS, MOST_UNTOLD
from atoll.ports import CallsDelta, Chunk, Done, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.contract.test_sessions import database
from tests.fakes.asking import THINKER
from tests.fakes.daemon import eventually
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import MANIFEST, EndlessModel, Served, serving
from tests.fakes.talker import LIMIT, Talker, talking


def with_rules(**tables: object) -> Any:
    return msgspec.structs.replace(MANIFEST, **tables)


class GatedModel(FakeModel):
    """Says a word, then waits for the test; `first` is its first turn alone."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    async def stream(self, request):
        self.requests.append(request)
        yield TextDelta("one ")
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        yield TextDelta("two")
        yield Done("stop", USAGE)


# Messages


def test_a_message_is_told_token_by_token_and_ends_with_final(served: Served) -> None:
    with talking(served) as talker:
        talker.say("hi")
        events = talker.until("final")
    kinds = [event["kind"] for event in events]
    assert kinds == ["status", "status", *["assistant_token"] * 3, "final"]
    assert "".join(e["text"] for e in events if e["kind"] == "assistant_token") == "Hello wörld"
    final = events[-1]["payload"]
    assert (events[-1]["text"], final["history_turns"]) == ("Hello wörld", 1)
    assert (final["trajectory"], final["trajectory_flat"]) == ([], {})
    assert final["session_id"] == events[0]["payload"]["session_id"]
    assert all(event["timestamp"].endswith("+00:00") for event in events)


def test_a_frame_without_a_type_is_a_message(served: Served) -> None:
    with talking(served) as talker:
        talker.send(content="hi", workspace_id="w", user_id="u", whatever=1)
        assert talker.until("final")


def test_a_connection_stays_in_its_session_and_may_choose_another(
    served: Served, model: FakeModel
) -> None:
    with talking(served) as talker:
        for content, session in (("a", None), ("b", None), ("c", "mine"), ("d", None)):
            talker.say(content, session_id=session)
            talker.until("final")
    asked = [[message.content for message in request.messages] for request in model.requests]
    assert asked[1][-3:] == ["a", "Hello wörld", "b"]
    assert asked[2][-1:] == ["c"]
    assert "a" not in asked[2]
    assert asked[3][-3:] == ["c", "Hello wörld", "d"]


def test_sessions_are_those_of_every_other_route(served: Served, model: FakeModel) -> None:
    httpx.post(f"{served.url}/chat", json={"message": "by post", "session_id": "s"}, timeout=LIMIT)
    with talking(served) as talker:
        talker.say("by socket", session_id="s")
        talker.until("final")
    assert [m.content for m in model.requests[1].messages][-3:-2] == ["by post"]
    assert httpx.get(f"{served.url}/sessions/s").json()["message_count"] == 4
    (state,) = httpx.get(f"{served.url}/sessions/state").json()["sessions"]
    assert (state["session_id"], state["history_turns"]) == ("s…", 2)


def calls() -> list[Chunk]:
    thinking = [ThinkingDelta("I need "), ThinkingDelta("the time")]
    return [*thinking, CallsDelta((Call("c1", "clock", {"zone": "UTC"}),)), Done("stop", USAGE)]


STEP = {
    "index": 0,
    "thought": "I need the time",
    "tool_name": "clock",
    "input": {"zone": "UTC"},
    "output": "noon",
    "observation": "noon",
}
FLAT = {
    "thought_0": "I need the time",
    "tool_name_0": "clock",
    "tool_args_0": {"zone": "UTC"},
    "observation_0": "noon",
}


@pytest.mark.parametrize(
    ("frame", "thoughts", "steps"),
    [
        ({}, ["I need ", "the time"], 1),
        ({"trace_mode": "verbose"}, ["I need ", "the time"], 1),
        ({"trace_mode": "compact"}, ["I need the time"], 1),
        ({"trace_mode": "off"}, [], 0),
        ({"trace": False}, [], 0),
        ({"trace": False, "trace_mode": "verbose"}, [], 0),
    ],
)
def test_tools_are_told_and_the_trajectory_in_both_shapes(
    tmp_path: Path, frame: dict[str, object], thoughts: list[str], steps: int
) -> None:
    model = FakeModel(calls(), text("it is noon"), info=THINKER)
    with serving(model, tmp_path, tools=FakeTools(clock="noon")) as served:
        with talking(served) as talker:
            talker.say("time?", **frame)
            events = talker.until("final")
        model.replies = [calls(), text("it is noon")]
        posted = httpx.post(f"{served.url}/chat", json={"message": "time?"}, timeout=LIMIT).json()
    told = {kind: [e for e in events if e["kind"] == kind] for kind in (e["kind"] for e in events)}
    assert [event["text"] for event in told.get("reasoning_step", [])] == thoughts
    assert told["tool_call"][0]["payload"]["tool_args"] == {"zone": "UTC"}
    assert told["tool_result"][0]["payload"]["tool_output"] == "noon"
    step = {"step_index": 0, "total_steps": 1, "step_data": STEP}
    assert [event["payload"] for event in told.get("trajectory_step", [])] == [step] * steps
    for said in (events[-1]["payload"], posted):
        assert (said["trajectory"], said["trajectory_flat"]) == ([STEP], FLAT)


def test_a_turn_that_fails_ends_with_an_error_and_the_connection_goes_on(tmp_path: Path) -> None:
    model = FakeModel(UpstreamRefused("nobody listens"), text("here"))
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("hi")
        failed = talker.until("error")[-1]
        assert "nobody listens" in failed["text"]
        assert (failed["payload"]["who"], failed["payload"]["history_turns"]) == ("upstream", 0)
        talker.say("hi")
        assert talker.until("final")[-1]["text"] == "here"
        assert len(model.requests) == 2, "no turn is ever run again by itself (RL3)"


def test_an_end_is_told_when_the_sessions_cannot_be_asked(tmp_path: Path) -> None:
    model = FakeModel(text("a"), UpstreamRefused("nobody listens"))
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("hi", session_id="s")
        talker.until("final")
        with closing(database(tmp_path)) as db:
            db.execute("drop table session")
        talker.say("hi", session_id="s")
        assert talker.until("error")[-1]["payload"]["history_turns"] == 0


# Cancel


def test_cancel_stops_the_turn_at_the_model_and_keeps_what_was_said(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("go", session_id="s")
        talker.until("assistant_token")
        talker.send(type="cancel")
        cancelled = talker.until("cancelled")[-1]
        assert model.stopped.wait(LIMIT)
        assert cancelled["text"].startswith("tick ")
        assert cancelled["text"].endswith("\n\n[cancelled]")
        assert cancelled["payload"]["history_turns"] == 1
        exported = httpx.get(f"{served.url}/sessions/s/export").json()["messages"]
        assert exported[1]["content"].startswith("tick ")


def test_cancel_before_a_word_is_said_says_so(tmp_path: Path) -> None:
    class Mute(FakeModel):
        async def stream(self, request):
            self.requests.append(request)
            await asyncio.Event().wait()
            yield Done("stop", USAGE)

    model = Mute()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("go")
        eventually(lambda: model.requests)
        talker.send(type="cancel")
        assert talker.until("cancelled")[-1]["text"] == "[cancelled]"


def test_cancel_of_another_session_or_of_nothing_does_nothing(tmp_path: Path) -> None:
    model = GatedModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.send(type="cancel")
        talker.say("go", session_id="s")
        talker.until("assistant_token")
        talker.send(type="cancel", session_id="other")
        model.go_on.set()
        assert talker.until("final", "cancelled")[-1]["kind"] == "final"


def test_cancel_ends_a_message_that_waits_as_well(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("first", session_id="s")
        talker.say("second", session_id="s")
        talker.until("assistant_token")
        talker.send(type="cancel")
        talker.until("cancelled")
        assert [event["kind"] for event in talker.until("cancelled")] == ["cancelled"]
        assert len(model.requests) == 1


# A second message


def test_two_messages_are_told_one_after_the_other(served: Served) -> None:
    with talking(served) as talker:
        talker.say("a", session_id="s")
        talker.say("b", session_id="t")
        first, second = talker.until("final"), talker.until("final")
    assert [events[0]["payload"]["session_id"] for events in (first, second)] == ["s", "t"]


def test_a_second_message_is_refused_where_the_agent_says_so(tmp_path: Path) -> None:
    model = GatedModel()
    manifest = with_rules(session=Session(concurrency="reject"))
    with serving(model, tmp_path, manifest=manifest) as served, talking(served) as talker:
        talker.say("a", session_id="s")
        talker.until("assistant_token")
        talker.say("b", session_id="s")
        assert talker.frame()["code"] == "session_busy"
        model.go_on.set()
        assert talker.until("final")[-1]["text"] == "one two"


def test_a_second_message_interrupts_where_the_agent_says_so(tmp_path: Path) -> None:
    model = GatedModel()
    manifest = with_rules(session=Session(concurrency="interrupt"))
    with serving(model, tmp_path, manifest=manifest) as served, talking(served) as talker:
        talker.say("a", session_id="s")
        talker.until("assistant_token")
        model.go_on.set()
        talker.say("b", session_id="s")
        ends = [talker.until("final", "cancelled")[-1]["kind"] for _ in range(2)]
    assert ends[1] == "final"


def test_one_connection_cannot_begin_turns_without_end(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        for number in range(MOST_UNTOLD + 1):
            talker.say("go", session_id=f"s{number}")
        while (frame := talker.frame())["type"] == "event":
            pass
        assert (frame["code"], frame["type"]) == ("busy", "error")


# Clients that leave, and come back


def test_a_client_that_leaves_ends_its_turns(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        with talking(served) as talker:
            talker.say("go", session_id="s")
            talker.until("assistant_token")
        assert model.stopped.wait(LIMIT)
        eventually(lambda: httpx.get(f"{served.url}/sessions/s").status_code == 200)


def test_a_client_that_leaves_with_its_message_ends_the_turn_too(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        for _ in range(20):
            with talking(served) as talker:
                talker.say("go")
        eventually(lambda: served.agent.in_flight == 0)


def test_a_client_without_a_good_bye_ends_its_turns(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("go")
        talker.until("assistant_token")
        talker.connection.socket.close()
        assert model.stopped.wait(LIMIT)


def test_a_turn_that_was_left_is_resumed_without_gap_or_repeat(tmp_path: Path) -> None:
    model = GatedModel()
    manifest = with_rules(server=Server(on_disconnect="detach"))
    with serving(model, tmp_path, manifest=manifest) as served:
        with talking(served) as talker:
            talker.say("go", session_id="s")
            last = talker.until("assistant_token")[-1]["event_id"]
        model.go_on.set()
        with talking(served) as talker:
            args = {"last_event_id": last}
            result = talker.command("resume", session_id="s", args=args)
            rest = talker.until("final")
            assert talker.command("resume", session_id="s", args=args)["status"] == "ok"
            again = talker.until("final")
        told = _streamed(served, last)
    assert (result["status"], last.startswith(result["turn_id"])) == ("ok", True)
    assert [event["text"] for event in rest] == ["two", "one two"]
    assert again == rest
    assert told == ["run_end"], "the ids are those of /stream"
    assert len(model.requests) == 1


def _streamed(served: Served, last: str) -> list[str]:
    url = f"{served.url}/stream?session_id=s"
    answer = httpx.get(url, headers={"Last-Event-ID": last}, timeout=LIMIT)
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: "))["type"] for line in lines]


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"session_id": "s"},
        {"session_id": "s", "args": {"last_event_id": "turn_0:1"}},
        {"session_id": "s", "args": {"last_event_id": 7}},
        {"session_id": "../x", "args": {"last_event_id": "x"}},
    ],
)
def test_what_cannot_be_resumed_is_an_error(served: Served, frame: dict[str, object]) -> None:
    with talking(served) as talker:
        assert talker.command("resume", **frame)["status"] == "error"


# Commands


def test_reset_forgets_the_session_and_ends_its_turn(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, talking(served) as talker:
        talker.say("go", session_id="s")
        talker.until("assistant_token")
        assert talker.command("reset") == {"status": "ok", "session_id": "s", "history_turns": 0}
        assert model.stopped.wait(LIMIT)
        assert httpx.get(f"{served.url}/sessions/s").status_code == 404


@pytest.mark.parametrize(
    ("command", "said"),
    [("load_document", "keeps no documents"), ("nonsense", "reset and resume")],
)
def test_a_command_that_is_not_offered_says_so(served: Served, command: str, said: str) -> None:
    with talking(served) as talker:
        result = talker.command(command)
        assert (result["status"], said in result["error"]) == ("error", True), result


# Frames that are wrong


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ("", "missing"),
        ("nonsense", "JSON"),
        ("[]", "object"),
        ('{"type":"other"}', "type"),
        ('{"type":"message"}', "content"),
        ('{"type":"message","content":" "}', "content"),
        ('{"type":"message","content":5}', "content"),
        ('{"type":"message","content":"x","session_id":"a/../b"}', "session id"),
        ('{"type":"message","content":"x","docs_path":"/etc/passwd"}', "docs_path"),
        ('{"type":"command"}', "command"),
        ('{"type":"command","command":"reset","session_id":"../x"}', "session id"),
        ('{"args":' + '{"a":' * 100_000, "nested"),
    ],
)
def test_a_wrong_frame_is_told_and_the_connection_goes_on(
    served: Served, frame: str, told: str
) -> None:
    with talking(served) as talker:
        talker.connection.send(frame)
        error = talker.frame()
        assert (error["type"], error["who"], told in error["message"]) == ("error", "client", True)
        assert error["code"] == "bad_request"
        talker.say("hi")
        assert talker.until("final")


def test_a_client_that_sends_nothing_but_wrong_frames_is_left(served: Served) -> None:
    with talking(served) as talker:
        for _ in range(MOST_FAULTS):
            talker.connection.send("{")
        assert talker.closed() == 1008


def test_a_client_that_is_refused_often_is_not_left(served: Served) -> None:
    with talking(served) as talker:
        for _ in range(MOST_FAULTS + 1):
            talker.say("")
            assert talker.frame()["type"] == "error"
        talker.say("hi")
        assert talker.until("final")


def test_binary_frames_are_refused(served: Served) -> None:
    with talking(served) as talker:
        talker.connection.send(b"\x00\xff")
        assert talker.closed() == 1003


# Who may connect


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
def test_a_page_of_a_stranger_is_refused(served: Served, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused, talking(served, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 403


def test_a_local_page_and_an_allowed_one_may_connect(tmp_path: Path) -> None:
    manifest = with_rules(server=Server(allowed_origins=("https://chat.example",)))
    with serving(FakeModel(), tmp_path, manifest=manifest) as served:
        for origin in ("http://localhost:3000", "https://chat.example", served.url):
            with talking(served, additional_headers={"Origin": origin}) as talker:
                assert talker.command("reset")["status"] == "ok"


def test_an_agent_with_a_token_wants_it_in_the_header(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path, token="sesame") as served:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with (
                pytest.raises(InvalidStatus) as refused,
                talking(served, additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == 403
        right = {"Authorization": "Bearer sesame"}
        with talking(served, additional_headers=right) as talker:
            assert talker.command("reset")["status"] == "ok"


def test_other_paths_are_no_websockets_and_this_one_is_nothing_else(served: Served) -> None:
    from websockets.sync.client import connect

    for path in ("/", "/api/chat", "/stream", "/v1/chat/completions", "/nothing", "/health"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{served.port}{path}").close()
        assert refused.value.response.status_code in (403, 404), path
    plain = httpx.get(f"{served.url}/ws/chat")
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")
    assert httpx.get(f"{served.url}/health").status_code == 200


# The server leaves


def test_a_restart_tells_idle_clients_at_once(served: Served) -> None:
    with talking(served) as talker:
        talker.command("reset")
        served.leave()
        assert talker.closed() == 1012


def test_a_turn_under_way_is_told_to_its_end_before_the_good_bye(tmp_path: Path) -> None:
    model = GatedModel()
    with serving(model, tmp_path, stop_timeout=LIMIT) as served, talking(served) as talker:
        talker.say("go")
        talker.until("assistant_token")
        served.leave()
        eventually(lambda: no_more_turns(talker))
        model.go_on.set()
        assert talker.until("final")[-1]["text"] == "one two"
        assert talker.closed() == 1012


def no_more_turns(talker: Talker) -> bool:
    """Whether the server has told the connection that it leaves."""
    talker.send(type="command", command="resume", session_id="s")
    while (frame := talker.frame())["type"] == "event":
        pass
    return frame.get("code") == "stopping"


def test_a_turn_without_end_is_cut_at_the_stop_timeout_and_says_so(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path, stop_timeout=0.3) as served, talking(served) as talker:
        talker.say("go")
        talker.until("assistant_token")
        served.leave()
        while (frame := talker.frame())["type"] == "event":
            pass
        assert frame["code"] == "stopping"
        assert talker.closed() == 1012
        assert model.stopped.wait(LIMIT)


# Many


def test_two_hundred_idle_clients_cost_nobody_anything(tmp_path: Path) -> None:
    with serving(FakeModel(text("a"), text("b")), tmp_path) as served, ExitStack() as stack:
        talkers: list[Talker] = [stack.enter_context(talking(served)) for _ in range(200)]
        assert httpx.get(f"{served.url}/health").status_code == 200
        for talker in (talkers[0], talkers[-1]):
            talker.say("hi")
            assert talker.until("final")
        served.leave()
        assert {talker.closed() for talker in talkers} == {1012}


def test_a_closed_connection_takes_no_more(served: Served) -> None:
    with talking(served) as talker:
        talker.connection.close()
        with pytest.raises(ConnectionClosed):
            talker.say("hi")
