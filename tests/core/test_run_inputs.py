"""What people type after `atoll runs start AGENT`."""

from io import BytesIO

import click
import pytest

from atoll_supervisor.cli.run_inputs import inputs_of


def test_names_take_text_or_json_and_bare_words_are_the_query() -> None:
    words = ["topic=a=b", "n:=3", "what", "is", "2+2=4?", "empty="]
    assert inputs_of(words, None) == {
        "topic": "a=b", "n": 3, "empty": "", "query": "what is 2+2=4?",
    }  # fmt: skip


def test_a_name_is_any_that_a_signature_may_have() -> None:
    assert inputs_of(["Ärger=1", "größe:=2"], None) == {"Ärger": "1", "größe": 2}


@pytest.mark.parametrize("word", ["text=\udcff", "\udcff", "n:=\udcff"])
def test_bytes_that_are_no_text_are_refused(word: str) -> None:
    with pytest.raises(click.UsageError, match="is no UTF-8"):
        inputs_of([word], None)


def test_words_go_over_the_document() -> None:
    document = BytesIO(b'{"topic": "old", "depth": "short"}')
    assert inputs_of(["topic=new"], document) == {"topic": "new", "depth": "short"}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["query=a", "query=b"], "`query`: it is given twice"),
        (["n:=1", "n=1"], "`n`: it is given twice"),
        (["query=a", "two", "words"], "`query`: 'two words' would be the same input"),
        (["two", "query:=null"], "`query`: 'two' would be the same input"),
    ],
)
def test_no_input_is_dropped_for_another_of_its_name(words: list[str], fault: str) -> None:
    with pytest.raises(click.UsageError, match=fault):
        inputs_of(words, None)


def test_what_is_no_json_says_where_and_how_text_is_given() -> None:
    with pytest.raises(click.UsageError, match=r"n:=three is no JSON: .*given as n=three"):
        inputs_of(["n:=three"], None)


@pytest.mark.parametrize(
    "text", [b"[1]", b"{", b"", b"\xff", b'{"a": "\xff"}', b'{"a":' + b"[" * 9000]
)
def test_a_document_that_is_no_object_is_refused(text: bytes) -> None:
    document = BytesIO(text)
    document.name = "inputs.json"
    with pytest.raises(click.UsageError, match=r"inputs\.json: it is no JSON object"):
        inputs_of([], document)
