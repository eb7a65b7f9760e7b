"""Ollama's routes that manage models: rows A10-A16, D10, D12 and D13 of ollama-api.md section 8."""

import json

import pytest
import requests

from tests.fakes.asking import error, post
from tests.fakes.serving import Served

BOTH = pytest.mark.parametrize("key", ["model", "name"])
SUCCESS = {"status": "success"}


def delete(served: Served, **body: object) -> requests.Response:
    return requests.delete(served.url + "/api/delete", json=body, timeout=10)


def test_a10_an_agent_is_copied_by_copying_its_folder(served: Served) -> None:
    status, message = error(post(served, "/api/copy", source="ghidraagent", destination="y"))
    assert (status, "copy the folder" in str(message)) == (403, True)


@BOTH
def test_a11_a12_an_agent_is_deleted_by_deleting_its_folder(served: Served, key: str) -> None:
    status, message = error(delete(served, **{key: "GhidraAgent:latest"}))
    assert (status, "delete the folder" in str(message)) == (403, True)


@BOTH
def test_a13_a_pull_of_what_is_here_succeeds(served: Served, key: str) -> None:
    streamed = post(served, "/api/pull", **{key: "llama2"})
    assert streamed.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in streamed.content.splitlines()][-1] == SUCCESS
    whole = post(served, "/api/pull", **{key: "llama2", "stream": False})
    assert whole.headers["content-type"].startswith("application/json")
    assert whole.json() == SUCCESS


@BOTH
@pytest.mark.parametrize("stream", [True, False])
def test_a14_a_pull_of_what_is_not_here_fails(served: Served, key: str, stream: bool) -> None:
    answer = post(served, "/api/pull", **{key: "nope", "stream": stream})
    assert error(answer) == (404, "model 'nope' not found")
    assert "success" not in answer.text


@pytest.mark.parametrize("path", ["/api/push", "/api/create"])
def test_a15_a16_push_and_create_are_known_and_not_offered(served: Served, path: str) -> None:
    status, message = error(post(served, path, model="ghidraagent"))
    assert (status, "not offered" in str(message)) == (501, True)


def test_d7_push_without_a_model(served: Served) -> None:
    assert error(post(served, "/api/push")) == (400, "model is required")


def test_d1_delete_without_a_body(served: Served) -> None:
    empty = requests.delete(served.url + "/api/delete", timeout=10)
    assert error(empty) == (400, "missing request body")


@BOTH
def test_d10_a_delete_of_what_is_not_here(served: Served, key: str) -> None:
    assert error(delete(served, **{key: "nope"})) == (404, "model 'nope' not found")


def test_d12_a_copy_of_what_is_not_here(served: Served) -> None:
    answer = post(served, "/api/copy", source="nope", destination="y")
    assert error(answer) == (404, 'model "nope" not found')


def test_d13_each_route_has_its_words_for_what_is_no_name(served: Served) -> None:
    bad = "../x y"
    assert error(post(served, "/api/pull", model=bad)) == (400, "invalid model name")
    assert error(delete(served, model=bad)) == (400, f'name "{bad}" is invalid')
    answer = post(served, "/api/copy", source=bad, destination="y")
    assert error(answer) == (400, f'source "{bad}" is invalid')
