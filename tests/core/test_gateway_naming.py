"""Which agent a request is for, and what each route says when there is none."""

import pytest

from atoll.errors import ClientError
from atoll_supervisor.gateway.naming import EITHER, FORWARDED, PLAIN, slug_in


@pytest.mark.parametrize(
    "name", ["GhidraAgent", "ghidraagent", "GHIDRAAGENT", "GhidraAgent:latest"]
)
def test_every_spelling_of_a_name_means_the_same_agent(name: str) -> None:
    assert slug_in(name) == "ghidraagent"


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "...", "\n"])
def test_what_can_be_no_name_means_nobody(name: str) -> None:
    assert slug_in(name) == ""


def test_only_the_name_is_read_and_the_rest_may_be_anything() -> None:
    body = b'{"messages": 7, "model": "x", "options": {"model": "y"}, "name": "z"}'
    assert PLAIN.name_in(body) == "x"
    assert EITHER.name_in(b'{"name": "z", "keep_alive": []}') == "z"


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b'{"model": 7}', b'{"model": "x"'])
def test_a_body_that_names_no_model_because_it_is_broken_is_a_client_error(body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        PLAIN.name_in(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("path", "name", "status", "words"),
    [
        ("/api/chat", "", 400, "model is required"),
        ("/api/embeddings", "", 400, "model is required"),
        ("/api/pull", "", 400, "model is required"),
        ("/api/generate", "", 404, "model '' not found"),
        ("/api/embed", "", 404, "model '' not found"),
        ("/api/delete", "", 400, 'name "" is invalid'),
        ("/api/copy", "", 400, 'source "" is invalid'),
        ("/api/chat", "nope", 404, "model 'nope' not found"),
        ("/api/delete", "nope", 404, "model 'nope' not found"),
        ("/api/copy", "nope", 404, 'model "nope" not found'),
        ("/api/embed", "nope", 404, 'model "nope" not found, try pulling it first'),
        ("/api/embeddings", "nope", 404, 'model "nope" not found, try pulling it first'),
        ("/api/generate", "a b", 400, "invalid model name"),
        ("/api/embed", "a b", 400, "invalid model name"),
        ("/api/delete", "a b", 400, 'name "a b" is invalid'),
        ("/api/copy", "{}", 400, 'source "{}" is invalid'),
        ("/v1/messages", "", 400, "model is required"),
    ],
)
def test_each_route_has_ollamas_words_for_a_name_that_nobody_has(
    path: str, name: str, status: int, words: str
) -> None:
    fault = FORWARDED[path][1].fault(name)
    assert (fault.status, str(fault)) == (status, words)
