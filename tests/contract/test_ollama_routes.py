"""Ollama's lists and errors over real HTTP: rows A, D and F1 of ollama-api.md section 8."""

import json
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Llm, Manifest, Resources
from atoll.errors import UpstreamRefused
from atoll.ports import ModelInfo
from tests.fakes.asking import THINKER, chat, error, generate, post, raw_request
from tests.fakes.ports import FakeModel, FakeTools
from tests.fakes.serving import EndlessModel, Served, serving


def test_a1_root_says_what_ollama_says(served: Served) -> None:
    answer = requests.get(served.url, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"Ollama is running")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/health"])
def test_a2_head_works_where_get_does_without_a_body(served: Served, path: str) -> None:
    answer = requests.head(served.url + path, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a3_the_version_is_three_numbers_that_copilot_accepts(served: Served) -> None:
    answer = requests.get(served.url + "/api/version", timeout=10).json()
    assert tuple(map(int, answer["version"].split("."))) >= (0, 6, 4)


def test_a5_tags_lists_the_agent_then_its_model(served: Served) -> None:
    rows = requests.get(served.url + "/api/tags", timeout=10).json()["models"]
    assert [row["name"] for row in rows] == ["ghidraagent:latest", "llama2:latest"]
    for row in rows:
        assert row["model"] == row["name"]
        assert re.fullmatch("[0-9a-f]{64}", row["digest"])
        assert datetime.fromisoformat(row["modified_at"]).tzinfo
        assert {"parent_model", "format", "family", "families", "parameter_size"} <= set(
            row["details"]
        )


def test_tags_come_even_when_the_back_end_does_not_answer(tmp_path: Path) -> None:
    class Down(FakeModel):
        async def describe(self) -> ModelInfo:
            raise UpstreamRefused("nobody listens")

    with serving(Down(), tmp_path) as served:
        rows = requests.get(served.url + "/api/tags", timeout=10).json()["models"]
        assert len(rows) == 2
        assert error(chat(served)) == (502, "nobody listens")


def test_a7_ps_lists_the_agent_after_a_turn_with_a_readable_time(served: Served) -> None:
    assert requests.get(served.url + "/api/ps", timeout=10).json() == {"models": []}
    chat(served, keep_alive="10m")
    (row,) = requests.get(served.url + "/api/ps", timeout=10).json()["models"]
    expires = row["expires_at"]
    assert expires.endswith("+00:00")
    assert 540 < datetime.fromisoformat(expires).timestamp() - time.time() < 610
    assert row["context_length"] == 2048


@pytest.mark.parametrize("key", ["model", "name"])
def test_a8_a9_show_has_what_clients_crash_without(tmp_path: Path, key: str) -> None:
    llm = Llm(system_prompt="Be kind.", temperature=0.2, max_tokens=9)
    manifest = Manifest(agent=AgentTable(name="GhidraAgent"), llm=llm)
    with serving(FakeModel(info=THINKER), tmp_path, manifest=manifest) as served:
        shown = post(served, "/api/show", **{key: "GhidraAgent"}).json()
    assert None not in shown.values()
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["llama.context_length"] == 8192
    assert shown["capabilities"] == ["completion", "tools", "vision", "thinking"]
    assert shown["system"] == "Be kind."
    pairs = dict(line.split() for line in shown["parameters"].splitlines())
    assert pairs == {"temperature": "0.2", "num_predict": "9"}
    assert datetime.fromisoformat(shown["modified_at"]).tzinfo


def test_show_says_tools_for_an_agent_that_has_some(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path, tools=FakeTools(clock="12")) as served:
        assert "tools" in post(served, "/api/show", model="llama2").json()["capabilities"]


def test_show_gives_copilot_the_name_it_asked_for(served: Served) -> None:
    agent = {"User-Agent": "GitHubCopilotChat/0.30"}
    body = {"model": "ghidraagent:latest"}
    shown = requests.post(served.url + "/api/show", json=body, headers=agent, timeout=10).json()
    assert shown["model_info"]["general.basename"] == "ghidraagent:latest"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/no/such/path", 404, "404 page not found"),
        ("GET", "/api/nope", 404, "404 page not found"),
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("PUT", "/api/tags", 405, "405 method not allowed"),
    ],
)
def test_a19_a20_unknown_paths_and_methods_get_ollamas_text(
    served: Served, method: str, path: str, status: int, body: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.request(method, served.url + path, headers=headers, timeout=10)
    assert (answer.status_code, answer.text) == (status, body)
    assert answer.headers["content-type"].startswith("text/plain")


def test_v1_keeps_its_envelope_for_an_unknown_path(served: Served) -> None:
    answer = requests.get(served.url + "/v1/no/such/path", timeout=10)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


POSTS = ["generate", "chat", "show", "copy", "pull", "push", "create", "embed", "embeddings"]


@pytest.mark.parametrize("path", [f"/api/{name}" for name in POSTS])
def test_d1_d2_a_body_that_is_missing_or_no_json(served: Served, path: str) -> None:
    empty = requests.post(served.url + path, timeout=10)
    assert error(empty) == (400, "missing request body")
    for data in (b"{", b'"x', b"\xff\xfe", b"[" * 5000 + b"]" * 5000, b'{"model": NaN}', b"nope"):
        status, message = error(requests.post(served.url + path, data=data, timeout=10))
        assert status == 400
        assert isinstance(message, str)


def test_a_deeply_nested_schema_is_a_clear_error(served: Served) -> None:
    nested = b'{"format":' * 1500 + b"1" + b"}" * 1500
    status, message = error(requests.post(served.url + "/api/chat", data=nested, timeout=10))
    assert (status, message) == (400, "the JSON of the request is nested too deeply")


def test_d3_a_wrong_type(served: Served) -> None:
    status, message = error(chat(served, messages="hi"))
    assert status == 400
    assert "messages" in str(message)


@pytest.mark.parametrize("absent", [None, ""])
def test_d4_d5_d7_no_model(served: Served, absent: object) -> None:
    assert error(chat(served, model=absent)) == (400, "model is required")
    assert error(generate(served, model=absent)) == (404, "model '' not found")
    assert error(post(served, "/api/show", model=absent)) == (400, "model is required")


def test_d8_d9_an_unknown_model(served: Served) -> None:
    wanted = (404, "model 'nope' not found")
    assert error(chat(served, model="nope")) == wanted
    assert error(generate(served, model="nope")) == wanted
    assert error(post(served, "/api/show", model="nope")) == wanted
    assert chat(served, model="nope").json()["detail"] == wanted[1]


def test_d13_a_name_that_is_none(served: Served) -> None:
    for path in ("/api/chat", "/api/generate", "/api/show"):
        answer = post(served, path, model="../x y", prompt="p", messages=[])
        assert error(answer) == (400, "invalid model name")


@pytest.mark.parametrize("number", [21, -1])
def test_d15_top_logprobs(served: Served, number: int) -> None:
    wanted = (400, "top_logprobs must be between 0 and 20")
    assert error(generate(served, top_logprobs=number)) == wanted
    assert error(chat(served, top_logprobs=number)) == wanted


def test_d16_a_full_queue(tmp_path: Path) -> None:
    manifest = Manifest(
        agent=AgentTable(name="GhidraAgent"),
        resources=Resources(max_concurrent_requests=1, max_queue=0),
    )
    with serving(EndlessModel(), tmp_path, manifest=manifest) as served:
        body = json.dumps({"model": "llama2", "prompt": "go"}).encode()
        with served.connect() as sock:
            sock.sendall(raw_request("POST", "/api/generate", body))
            assert b"200 OK" in sock.recv(65536)
            wanted = "server busy, please try again.  maximum pending requests exceeded"
            assert error(chat(served)) == (503, wanted)


@pytest.mark.parametrize(
    "kind", [None, "application/x-www-form-urlencoded", "application/octet-stream", "text/plain"]
)
def test_f1_a_body_is_json_whatever_its_type_says(served: Served, kind: str | None) -> None:
    data = json.dumps({"model": "llama2", "prompt": "hi", "stream": False}).encode()
    headers = {"Content-Type": kind} if kind else {}
    url = served.url + "/api/generate"
    assert requests.post(url, data=data, headers=headers, timeout=10).status_code == 200
