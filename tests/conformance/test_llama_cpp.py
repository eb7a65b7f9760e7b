"""The suite against a real agent whose model is real llama.cpp; only the weights are our own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_gateway import LIMIT, through_gateway
from tests.conformance.test_suite import CLIENTS, asked, rows_of
from tests.fakes.byheart import Sentence, make_byheart
from tests.fakes.daemon import Daemon
from tests.shell.test_server import address, process

pytest.importorskip("xllamacpp")

HERE = Path(__file__).parent / "llama_cpp"
QUIET = "<think>\n\n</think>\n\n"
TEMPLATE = (HERE / "template.jinja").read_text().rstrip("\n")
"""Qwen's words for tools and thinking, which llama.cpp knows; ids as Mistral wants them."""
SENTENCES = (
    Sentence("Say hello", (b"Hello", b" there", b", nice", b" to meet", b" you."), rank=3),
    Sentence("PINEAPPLE", (b"The pine", b"apple", b" answers."), rank=4),
    Sentence("json please", (b'{"colours": ["red"', b', "green"', b"]}"), rank=3),
    Sentence("person please", (b'{"name": "Aino', b' Kallas"', b', "age":', b" 77", b"}"), rank=3),
    Sentence(
        "one tool please",
        (
            b"<tool_call>\n",
            b'{"name": "get_weather", "arguments": ',
            b'{"unit": "celsius", "city": "Turku"}',
            b"}\n</tool_call>",
        ),
        rank=3,
    ),
    Sentence(
        "two tools please",
        (
            b'<tool_call>\n{"name": "get_weather", "arguments": {"unit": "celsius", ',
            b'"city": "Turku"}}\n</tool_call>\n',
            b'<tool_call>\n{"name": "get_weather", "arguments": {"unit": ',
            b'"celsius", "city": "Oslo"}}\n</tool_call>',
        ),
        rank=3,
    ),
    Sentence("21 degrees and sunny", (b"It is", b" warm."), rank=4),
    Sentence("slow please", (b"tick ", b"tock "), rank=3, endless=True),
    Sentence("think please", (b"<think>\nLet me count", b" them.\n</think>\n\n", b"Three.")),
    Sentence(QUIET, (b"No", b" thought."), rank=2),
    Sentence(  # its pieces end inside of characters
        "characters please",
        (
            *(b"Gr\xc3", b"\xbc\xc3", b"\x9fe, \xe4", b"\xbd", b"\xa0\xe5\xa5", b"\xbd, "),
            *(b"\xf0\x9f", b"\x91\xa9\xe2", b"\x80\x8d\xf0\x9f\x9a", b"\x80"),
        ),
        rank=3,
    ),
)
"""Rank 1 is thought about unless that is switched off; a system prompt and a result outrank all."""
CANNOT = {
    # No prompt makes llama.cpp fail after a token, or say 8 MiB in one.
    "B20": "a profile must say how to provoke it: key `fail`",
    "C15": "a profile must say how to provoke it: key `big`",
    # The model host runs its engine without embeddings (docs/models.md).
    "E8": "byheart has no capability 'embedding'",
    "E9": "byheart has no capability 'embedding'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent with its model."""
    folder = tmp_path_factory.mktemp("agents") / "byheart"
    shutil.copytree(HERE, folder)
    make_byheart(folder / "byheart.gguf", SENTENCES, TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Iterator[dict[str, Any]]:
    """An agent on its own, which starts a model host for itself."""
    with process(folder.parent, "--port", "0", "--agent", str(folder / "agent.toml")) as child:
        yield asked(address(child), "byheart", folder / "profile.toml")


def cannot(report: dict[str, Any]) -> dict[str, str]:
    """The rows that do not apply, and why; the clients are run by tests of their own."""
    skipped = rows_of(report, "not applicable").items()
    return {row: told["why"] for row, told in skipped if row not in CLIENTS}


@pytest.mark.timeout(LIMIT)
def test_no_row_fails(report: dict[str, Any]) -> None:
    assert rows_of(report, "fail") == {}


@pytest.mark.timeout(LIMIT)
def test_a_row_is_left_out_only_where_this_back_end_cannot_show_it(report: dict[str, Any]) -> None:
    assert cannot(report) == CANNOT


@pytest.mark.timeout(LIMIT)
def test_the_gateway_of_a_fleet_with_one_model_host_is_no_worse(
    folder: Path, tmp_path: Path
) -> None:
    report = through_gateway(Daemon(tmp_path), folder, "byheart")
    assert rows_of(report, "fail") == {}
    assert cannot(report) == CANNOT


def test_the_weights_are_the_same_every_time(tmp_path: Path) -> None:
    one, two = (make_byheart(tmp_path / name, SENTENCES, TEMPLATE) for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()
