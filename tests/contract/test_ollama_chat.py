"""`/api/chat` over real HTTP: rows C of ollama-api.md section 8, and failures in mid-turn."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, TextDelta
from atoll.wire.messages import Call
from tests.fakes.asking import (
    METRICS,
    THINKER,
    WEATHER,
    chat,
    error,
    generate,
    lines,
    raw_request,
    wait_for,
)
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import EndlessModel, Served, serving


def test_b20_a_failure_after_the_first_token_is_the_last_line(failing: Served) -> None:
    answer = chat(failing)
    chunks = lines(answer)
    assert answer.status_code == 200
    assert chunks[-1]["error"] == "the model's server went away"
    assert not any(chunk.get("done") for chunk in chunks)
    assert error(chat(failing, stream=False)) == (502, "the model's server went away")


def test_a_failure_before_the_first_token_has_its_status(tmp_path: Path) -> None:
    with serving(FakeModel(UpstreamRefused("down"), UpstreamRefused("down")), tmp_path) as served:
        assert error(chat(served)) == (502, "down")
        assert error(generate(served)) == (502, "down")


def test_c1_c18_the_order_of_a_stream(served: Served) -> None:
    chunks = lines(chat(served))
    assert [c["message"]["content"] for c in chunks] == ["Hel", "lo ", "wörld", ""]
    assert [chunk["done"] for chunk in chunks] == [False, False, False, True]
    assert all(datetime.fromisoformat(str(chunk["created_at"])).tzinfo for chunk in chunks)
    assert all(int(str(chunks[-1][key])) > 0 for key in METRICS)


def test_c2_one_object(served: Served) -> None:
    answer = chat(served, stream=False).json()
    assert answer["message"] == {"role": "assistant", "content": "Hello wörld"}
    assert answer["done"] is True


def test_c3_any_role_is_taken_and_the_whole_list_reaches_the_model(
    served: Served, model: FakeModel
) -> None:
    given = [("SYSTEM", "a"), ("User", "b"), ("Assistant", "c"), ("narrator", "d")]
    chat(served, messages=[{"role": role, "content": said} for role, said in given])
    told = [(message.role, message.content) for message in model.requests[0].messages]
    assert told == [("system", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")]


def test_c4_c6_tool_calls_have_chunks_of_their_own_before_done(
    calling: tuple[Served, FakeModel],
) -> None:
    chunks = lines(chat(calling[0], tools=[WEATHER]))
    calls = [call for c in chunks for call in c["message"].get("tool_calls", [])]
    assert [call["function"]["index"] for call in calls] == [0, 1]
    assert [call["id"] for call in calls] == ["call_aaaaaaaa", "call_bbbbbbbb"]
    assert list(calls[0]["function"]["arguments"]) == ["city", "unit", "a"]
    assert chunks[-1]["done_reason"] == "stop"
    assert "tool_calls" not in chunks[-1]["message"]
    assert all(chunk["done"] is False for chunk in chunks[:-1])


def test_c4_the_id_of_a_server_behind_gets_ollamas_form(tmp_path: Path) -> None:
    """llama.cpp's has 32 letters; what the client gets is the same streamed and whole."""
    foreign: list[Chunk] = [CallsDelta((Call("uc4Q" * 8, "weather", {}),)), Done("stop", USAGE)]
    with serving(FakeModel(foreign, foreign, info=THINKER), tmp_path) as served:
        streamed = lines(chat(served, tools=[WEATHER]))[0]["message"]["tool_calls"][0]
        whole = chat(served, tools=[WEATHER], stream=False).json()["message"]["tool_calls"][0]
    assert re.fullmatch("call_[a-z0-9]{8}", streamed["id"])
    assert whole == streamed


def test_c5_a_tools_result_is_understood_by_name_and_by_id(
    calling: tuple[Served, FakeModel],
) -> None:
    served, model = calling
    model.replies.pop(0)
    call = {"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    chat(
        served,
        tools=[WEATHER],
        messages=[
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "sunny", "tool_name": "weather"},
            {"role": "tool", "content": "warm", "tool_call_id": "call_1"},
        ],
    )
    asked = model.requests[0].messages
    assert asked[1].calls == (Call("call_1", "weather", {"city": "Rome"}),)
    assert (asked[2].tool_name, asked[3].call_id) == ("weather", "call_1")


def test_the_agents_own_tool_calls_are_not_the_clients_business(tmp_path: Path) -> None:
    own: list[Chunk] = [CallsDelta((Call("call_1", "clock", {}),)), Done("stop", USAGE)]
    model = FakeModel(own, text("noon"), info=THINKER)
    with serving(model, tmp_path, tools=FakeTools(clock="12:00")) as served:
        chunks = lines(chat(served))
    assert [c["message"] for c in chunks] == [
        {"role": "assistant", "content": "noon"},
        {"role": "assistant", "content": ""},
    ]


def test_c7_empty_tools_are_none(served: Served) -> None:
    assert chat(served, tools=[]).status_code == 200


def test_c8_thinking_has_its_own_place(thinker: Served) -> None:
    messages = [chunk["message"] for chunk in lines(chat(thinker, think=True))]
    assert messages[0] == {"role": "assistant", "content": "", "thinking": "hmm"}
    assert messages[1] == {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize("messages", [[], None])
def test_c12_c13_empty_messages_load_and_unload(served: Served, messages: object) -> None:
    loaded = chat(served, messages=messages)
    assert loaded.headers["content-type"].startswith("application/json")
    assert loaded.json()["done_reason"] == "load"
    assert chat(served, messages=messages, keep_alive=0).json()["done_reason"] == "unload"


@pytest.mark.parametrize("stream", [True, False])
def test_c14_a_client_that_leaves_stops_the_model(tmp_path: Path, stream: bool) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        body = {"model": "llama2", "messages": [{"role": "user", "content": "go"}]}
        data = json.dumps(body | {"stream": stream}).encode()
        with served.connect() as sock:
            sock.sendall(raw_request("POST", "/api/chat", data))
            if stream:
                assert b"200 OK" in sock.recv(65536)
            else:
                wait_for(lambda: bool(model.requests))
        assert model.stopped.wait(5)
        wait_for(lambda: served.agent.in_flight == 0)


@pytest.mark.parametrize("name", ["ghidraagent", "GhidraAgent:latest", "GHIDRAAGENT", "llama2"])
def test_c17_every_spelling_is_answered_and_echoed(served: Served, name: str) -> None:
    assert chat(served, model=name, stream=False).json()["model"] == name


def test_c19_a_full_answer_says_length(tmp_path: Path) -> None:
    with serving(FakeModel([TextDelta("a"), Done("length", USAGE)]), tmp_path) as served:
        assert chat(served, stream=False).json()["done_reason"] == "length"


def test_c20_unknown_fields_are_ignored(served: Served) -> None:
    assert chat(served, whatever={"deep": [1]}).status_code == 200
