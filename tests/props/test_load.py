"""Whatever stands in a manifest, it loads or is refused with places that exist."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.config.load import Loaded, load_manifest
from atoll.config.pending import pending
from atoll.errors import ConfigError
from tests.core.manifests import FULL

MARKS = ["[", "]", "{", "}", "=", '"', "'", '"""', "\n", ".", ",", "\r", "#", "\\", "$A", "${"]
ODD = ["nan", "1e9", "1979-05-27", "\u2028", "\x1c", "ü", "true", "auto_restart", "auth_token"]
WORDS = st.sampled_from([*FULL.splitlines(keepends=True), *MARKS, *ODD])
TOML = st.lists(WORDS, max_size=40).map(lambda words: "".join(words).encode())
CUT = st.tuples(st.integers(0, len(FULL)), st.integers(0, 40), TOML).map(
    lambda cut: FULL[: cut[0]].encode() + cut[2][:60] + FULL[cut[0] + cut[1] :].encode()
)
JSON_WORDS = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"name"', '"agent"', '"llm"', '"x"', "1", "null", "\n", "1e999"]
)
JSON = st.lists(JSON_WORDS, max_size=25).map(lambda words: "".join(words).encode())


def attempt(data: bytes, name: str) -> Loaded | ConfigError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            return load_manifest(path, {"A": "a"})
        except ConfigError as error:
            return error


def check(data: bytes, name: str) -> None:
    match attempt(data, name):
        case Loaded() as loaded:
            assert all(sentence.isprintable() for sentence in pending(loaded))
        case error:
            lines = data.decode(errors="replace").replace("\r\n", "\n").split("\n")
            assert error.problems
            for problem in error.problems:
                assert 1 <= problem.line <= len(lines), problem
                assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
                assert problem.excerpt.count("\n") in (0, 1)
                assert problem.message.isprintable()


@pytest.mark.parametrize("name", ["agent.toml", "agent.json"])
@settings(deadline=None)
@given(data=st.binary(max_size=4096))
def test_any_bytes_load_or_are_refused(name: str, data: bytes) -> None:
    check(data, name)


@settings(deadline=None)
@given(TOML | CUT)
def test_any_pieces_of_toml_load_or_are_refused(data: bytes) -> None:
    check(data, "agent.toml")


@settings(deadline=None)
@given(JSON)
def test_any_pieces_of_json_load_or_are_refused(data: bytes) -> None:
    check(data, "agent.json")
