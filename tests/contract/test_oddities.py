"""Requests at the edge of what the dialects allow: each gets an answer, none a 500."""

from pathlib import Path

import pytest
import requests

from atoll.errors import UpstreamRefused
from tests.fakes.asking import chat, error, generate, post
from tests.fakes.ports import FakeModel
from tests.fakes.serving import Served, serving

HUGE = 10**400


@pytest.mark.parametrize("number", [HUGE, -HUGE])
def test_a_number_that_no_machine_holds_is_400(served: Served, number: int) -> None:
    for ask in (chat, generate):
        assert error(ask(served, keep_alive=number)) == (400, "keep_alive is out of range")
        for key, kind in (
            ("temperature", "float32"),
            ("typical_p", "float32"),
            ("seed", "integer"),
        ):
            wanted = (400, f'option "{key}" must be of type {kind}')
            assert error(ask(served, options={key: number})) == wanted


def test_a_duration_without_end_is_400(served: Served) -> None:
    status, message = error(chat(served, keep_alive="9" * 400 + "s"))
    assert (status, str(message)[:22]) == (400, "time: invalid duration")


def test_many_digits_in_a_text_are_no_number(served: Served) -> None:
    assert generate(served, prompt="9" * 400, stream=False).status_code == 200


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_ps_does_not_list_a_model_whose_server_refused(tmp_path: Path, path: str) -> None:
    with serving(FakeModel(UpstreamRefused("nobody listens")), tmp_path) as served:
        hi = [{"role": "user", "content": "hi"}]
        assert post(served, path, model="llama2", messages=hi).status_code == 502
        assert requests.get(f"{served.url}/api/ps", timeout=10).json() == {"models": []}


def test_audio_is_refused_in_words(served: Served) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    messages = [{"role": "user", "content": [part]}]
    answer = post(served, "/v1/chat/completions", model="llama2", messages=messages)
    assert answer.status_code == 400
    assert "audio is not supported" in answer.json()["error"]["message"]
