"""What clients know and an agent does not serve is refused in the shape of its dialect."""

import pytest
import requests

from tests.fakes.serving import Served


def asked(served: Served, method: str, path: str) -> requests.Response:
    return requests.request(method, served.url + path, data=b"{}", timeout=10)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/experimental/web_search"),
        ("POST", "/api/experimental/web_fetch"),
        ("GET", "/api/experimental/model-recommendations"),
        ("POST", "/api/blobs/sha256:00"),
    ],
)
def test_ollamas_are_501_in_its_shape(served: Served, method: str, path: str) -> None:
    answer = asked(served, method, path)
    assert answer.status_code == 501
    assert "not offered" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/embeddings"])
def test_openais_are_501_in_its_envelope(served: Served, path: str) -> None:
    answer = asked(served, "POST", path)
    assert answer.status_code == 501
    assert answer.json()["error"]["type"] == "api_error"
    assert "not offered" in answer.json()["error"]["message"]


def test_tokens_are_not_guessed_and_anthropics_envelope_says_so(served: Served) -> None:
    answer = asked(served, "POST", "/v1/messages/count_tokens")
    told = answer.json()
    assert (answer.status_code, told["type"]) == (501, "error")
    assert told["error"]["type"] == "api_error"
    assert "an estimate is no count" in told["error"]["message"]
    assert told["request_id"].startswith("req_")


@pytest.mark.parametrize("path", ["/api/me", "/api/signout"])
def test_there_is_no_account_to_sign_in_to(served: Served, path: str) -> None:
    answer = asked(served, "POST", path)
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("unauthorized")


def test_a17_no_blob_is_here(served: Served) -> None:
    answer = requests.head(served.url + "/api/blobs/sha256:00", timeout=10)
    assert (answer.status_code, answer.content) == (404, b"")


def test_a18_there_is_no_cloud(served: Served) -> None:
    told = requests.get(served.url + "/api/status", timeout=10).json()
    assert told == {"cloud": {"disabled": True, "source": "atoll"}}
