"""The header of a model file is read without trust."""

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atoll.adapters.gguf import read_gguf
from atoll.errors import ConfigError
from tests.fakes.gguf import CONTEXT, make_gguf


def test_a_real_header_is_read(tmp_path: Path):
    facts = read_gguf(make_gguf(tmp_path / "m.gguf"))
    assert (facts.architecture, facts.context_length, facts.embedding_length) == (
        "llama",
        CONTEXT,
        64,
    )
    assert facts.parameters == 144_576
    assert facts.kv_bytes == 2 * 2 * 2 * 2 * 16
    assert "im_start" in facts.chat_template


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_a_damaged_header_is_an_error_or_a_value_never_a_crash(tmp_path: Path, data):
    good = bytearray(make_gguf(tmp_path / "m.gguf").read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(good) - 8))
        good[place : place + 8] = data.draw(st.binary(min_size=8, max_size=8))
    path = tmp_path / "bad.gguf"
    path.write_bytes(good[: data.draw(st.integers(0, len(good)))])
    with suppress(ConfigError):
        assert read_gguf(path).size == path.stat().st_size


def header(tensors: int, pairs: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "ends inside its header"),
        (b"GGML" + bytes(100), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<I", 99) + bytes(100), "version 99"),
        (header(2**60, 0), "tensors"),
        (header(0, 2**60), "metadata keys"),
        (header(0, 1, struct.pack("<Q", 2**62)), "bytes of text"),
        (header(0, 1, text(b"k") + struct.pack("<I", 77)), "unknown type 77"),
        (header(0, 1, text(b"k") + struct.pack("<IIQ", 9, 4, 2**60)), "array items"),
        (header(0, 1, text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50), "nested"),
        (header(1, 0, text(b"t") + struct.pack("<I", 4_000_000_000)), "dimensions"),
    ],
)
def test_claims_that_cannot_be_are_refused(tmp_path: Path, data: bytes, said: str):
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        read_gguf(path)


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="not a regular file"):
        read_gguf(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        read_gguf(tmp_path / "none.gguf")
