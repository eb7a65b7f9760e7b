"""How half surrogate pairs in a request's JSON are read."""

import msgspec
import pytest

from atoll.errors import ClientError
from atoll.http.decoding import decode

DECODER = msgspec.json.Decoder(dict[str, str])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'{"a":"\ud83d"}', "\ufffd"),
        (rb'{"a":"\ude00 x"}', "\ufffd x"),
        (rb'{"a":"\ud83d\ud83d\ude00"}', "\ufffd\U0001f600"),
        (rb'{"a":"\\ud83d\ud83d"}', "\\ud83d\ufffd"),
        (rb'{"a":"\\\ud83d"}', "\\\ufffd"),
    ],
)
def test_half_a_pair_is_the_replacement_character_and_nothing_else_changes(
    body: bytes, text: str
) -> None:
    assert decode(DECODER, body) == {"a": text}


@pytest.mark.parametrize("body", [rb'{"a":"\ud83', rb'{"a":"\ud83d"', rb'{"a":"\ud83d",}'])
def test_a_body_that_is_broken_elsewhere_stays_so(body: bytes) -> None:
    with pytest.raises(ClientError):
        decode(DECODER, body)
