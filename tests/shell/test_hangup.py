"""A client that goes ends the work that is done for it, and nobody else's."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.asking import raw_request
from tests.fakes.serving import EndlessModel, Served, serving

HI = json.dumps({"model": "llama2", "messages": [{"role": "user", "content": "hi"}]}).encode()
CHAT = raw_request("POST", "/api/chat", HI)


@pytest.fixture
def model() -> EndlessModel:
    return EndlessModel()


@pytest.fixture
def served(model: EndlessModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


def test_a_client_that_closes_its_connection_ends_the_generation(
    served: Served, model: EndlessModel
) -> None:
    with served.connect() as sock:
        sock.sendall(CHAT)
        assert sock.recv(64)
    assert model.stopped.wait(5)


def test_a_client_that_closes_only_its_own_side_has_gone(
    served: Served, model: EndlessModel
) -> None:
    """As with uvicorn and Go's server: nobody can tell it from a client that is gone."""
    with served.connect() as sock:
        sock.sendall(CHAT)
        assert sock.recv(64)
        sock.shutdown(socket.SHUT_WR)
        assert model.stopped.wait(5)


def test_it_is_noticed_while_a_second_request_waits_behind_the_first(
    served: Served, model: EndlessModel
) -> None:
    """Two requests sent at once (RFC 9112 section 9.3.2): the answer of the first is broken off."""
    with served.connect() as sock:
        sock.sendall(CHAT + CHAT)
        assert sock.recv(64)
    assert model.stopped.wait(5)
    assert len(model.requests) == 1


def test_what_is_done_for_others_goes_on(served: Served, model: EndlessModel) -> None:
    other = served.connect()
    with served.connect() as sock:
        sock.sendall(CHAT)
        assert sock.recv(64)
        other.sendall(CHAT)
        assert other.recv(64)
    assert model.stopped.wait(5)
    assert other.recv(64)
    other.close()
