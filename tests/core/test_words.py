"""Errors of foreign servers become one short line."""

import pytest

from atoll.adapters.words import MAX_WORDS, words_of


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"no"}', "no"),
        (b'{"error":{"message":"no","type":"x"}}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"detail":[{"message":"no"}]}', "no"),
        (b'{"message":"no"}', "no"),
        (b'[{"error":{"message":"no"}}]', "no"),
        (b"plain\n text ", "plain text"),
        (b"", "(no words)"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"other":1}', '{"other":1}'),
    ],
)
def test_every_common_shape_is_understood(body: bytes, words: str):
    assert words_of(body) == words


def test_long_words_are_cut_and_keys_are_blotted_out():
    assert len(words_of(b"x" * 9999)) == MAX_WORDS
    assert words_of(b'{"error":"bad key sk-123"}', "sk-123") == "bad key ***"
