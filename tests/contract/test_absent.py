"""What clients know and an agent does not serve is refused in the shape of its dialect."""

import pytest
import requests

from tests.fakes.serving import Served

DIGEST = "sha256:" + "0aF9" * 16


def asked(served: Served, method: str, path: str) -> requests.Response:
    return requests.request(method, served.url + path, data=b"{}", timeout=10)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/experimental/web_search"),
        ("POST", "/api/experimental/web_fetch"),
        ("GET", "/api/experimental/model-recommendations"),
        ("POST", f"/api/blobs/{DIGEST}"),
    ],
)
def test_ollamas_are_501_in_its_shape(served: Served, method: str, path: str) -> None:
    answer = asked(served, method, path)
    assert answer.status_code == 501
    assert "not offered" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions"])
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


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/me"), ("POST", "/api/signout"), ("DELETE", "/api/user/keys/abc")],
)
def test_there_is_no_account_to_sign_in_to(served: Served, method: str, path: str) -> None:
    answer = asked(served, method, path)
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("unauthorized")


def test_a17_no_blob_is_here(served: Served) -> None:
    for digest in (DIGEST, DIGEST.replace(":", "-")):
        answer = requests.head(f"{served.url}/api/blobs/{digest}", timeout=10)
        assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize("digest", ["sha256:00", "md5:" + "0" * 64, DIGEST + "0", "sha256"])
def test_a17_what_is_no_digest_is_said_to_be_none(served: Served, digest: str) -> None:
    path = f"/api/blobs/{digest}"
    assert requests.head(served.url + path, timeout=10).status_code == 400
    answer = asked(served, "POST", path)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid digest format")


def test_a18_there_is_no_cloud(served: Served) -> None:
    told = requests.get(served.url + "/api/status", timeout=10).json()
    assert told == {"cloud": {"disabled": True, "source": "atoll"}}
