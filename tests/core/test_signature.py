"""Signatures: what parses, what never does, and what they say of values."""

import jsonschema
import pytest

from atoll.config.load import load_manifest
from atoll.config.signature import (
    MAX_FIELDS,
    SignatureError,
    parse_signature,
    split_signature,
)
from atoll.config.signature_types import Choice, DictOf, ListOf, Maybe, Plain, Type
from atoll.config.signature_values import completed, faults_of, json_schema
from atoll.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("str", Plain("str")),
        ("int", Plain("int")),
        ("float", Plain("float")),
        ("bool", Plain("bool")),
        ("list[str]", ListOf(Plain("str"))),
        ("list [ list[ int ] ]", ListOf(ListOf(Plain("int")))),
        ("dict[str, float]", DictOf(Plain("str"), Plain("float"))),
        ("dict[int, list[bool]]", DictOf(Plain("int"), ListOf(Plain("bool")))),
        ("Literal['a', \"b c\", -3, True, None]", Choice(("a", "b c", -3, True, None))),
        ("dict[Literal['x'], str]", DictOf(Choice(("x",)), Plain("str"))),
        ("Optional[int]", Maybe(Plain("int"))),
        ("int?", Maybe(Plain("int"))),
        ("Optional[int?]", Maybe(Plain("int"))),
        ("list[str?]?", Maybe(ListOf(Maybe(Plain("str"))))),
    ],
)
def test_every_type_of_the_grammar_parses(words: str, kind: Type) -> None:
    (field,) = parse_signature(f"x: {words} | what it is").fields
    assert (field.type, field.words, field.description) == (kind, words.strip(), "what it is")


def test_the_page_s_own_signature_parses() -> None:
    (field,) = parse_signature("query: str | The query to process").fields
    assert (field.name, field.type, field.description) == (
        "query",
        Plain("str"),
        "The query to process",
    )


def test_a_field_without_a_type_is_a_str_and_spaces_do_not_matter() -> None:
    fields = parse_signature("  a , b|about b,\n\tc :int  ").fields
    assert [(f.name, f.type, f.description) for f in fields] == [
        ("a", Plain("str"), ""),
        ("b", Plain("str"), "about b"),
        ("c", Plain("int"), ""),
    ]


def test_brackets_and_quotes_protect_commas_in_a_description() -> None:
    text = "a: str | one (or two, or three) of 'x, y' and the user's, b: int"
    assert parse_signature(text).names == ("a", "b")
    assert parse_signature(text).fields[0].description.endswith("the user's")


def test_the_first_bar_begins_the_description() -> None:
    """So a union is impossible at the top level (seeds-contract.md 3.2)."""
    (field,) = parse_signature("a: str | None").fields
    assert (field.type, field.description) == (Plain("str"), "None")


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "a name is missing"),
        ("a, ", 4, "a name is missing"),
        ("1a: str", 1, "is no name"),
        ("a: lst[str]", 4, "did you mean `list`?"),
        ("a: List[str]", 4, "did you mean `list`?"),
        ("a: list", 8, "expected `[`; write `list[str]`"),
        ("a: list[str", 12, "expected `]`"),
        ("a: list[str, int]", 18, "list has 2 parts"),
        ("a: dict[str]", 13, "dict has 1 part"),
        ("a: dict[float, int]", 4, "a dict's keys are str, int or Literal"),
        ("a: Literal[x]", 12, "a string in quotes"),
        ("a: Literal['x]", 12, "a string in quotes"),
        ("a: Literal[]", 12, "a string in quotes"),
        ("a: str | (b", 10, "`(` is never closed"),
        ("a: str | b)", 11, "`)` closes nothing"),
        ("a: str | 'b", 10, "`'` is never closed"),
        ("a: str | x, y z", 15, "a comma begins the next one"),
        ("a: str, a: int", 9, "`a` is there twice"),
        ("a: __import__('os').system('id')", 4, "is no type"),
        ("a: str.__class__", 7, "is not expected here"),
        ("a: (lambda: 1)()", 4, "is no name"),
        ("a: list[(1).__class__]", 9, "is no name"),
        ("a: Literal[open('/etc/passwd')]", 12, "a string in quotes"),
        ("a: " + "list[" * 500, 89, "nested too deeply"),
        ("x" * 65, 1, "the name is too long"),
        (", ".join(f"f{n}" for n in range(MAX_FIELDS + 1)), 311, "more than 64 fields"),
        ("a" * 20_000, 16384, "the signature has 20000 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_mends_it(text: str, at: int, words: str) -> None:
    with pytest.raises(SignatureError) as raised:
        parse_signature(text)
    assert words in str(raised.value)
    assert raised.value.at == at
    assert raised.value.hint
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("text", "takes", "gives"),
    [
        ("a: str, b: int -> c: str", "a: str, b: int", "c: str"),
        ("query->result", "query", "result"),
        (
            " q: str | What -- if (a -> b) or 'c -> d' -> r: list[str]? | The end - or not ",
            "q: str | What -- if (a -> b) or 'c -> d'",
            "r: list[str]? | The end - or not",
        ),
    ],
)
def test_input_and_output_are_written_in_one_string_too(text: str, takes: str, gives: str) -> None:
    assert split_signature(text) == (takes, gives)
    parse_signature(takes)
    parse_signature(gives)


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("a: str", 7, "expected `->`"),
        ("a: str ->", 10, "a name is missing"),
        ("-> a", 1, "`-> a` is no name"),
        ("a -> b -> c", 8, "there is a second `->`"),
        ("a | x -> b | to -> from", 17, "there is a second `->`"),
        ("a - > b", 3, "`-` is not expected here"),
        ("a: list[-> b", 9, "`-> b` is no name"),
        ("a -> b: lst", 9, "`lst` is no type"),
    ],
)
def test_one_string_that_is_not_clear_is_refused_with_its_place(
    text: str, at: int, words: str
) -> None:
    with pytest.raises(SignatureError) as caught:
        split_signature(text)
    assert caught.value.at == at
    assert words in caught.value.message


def test_an_arrow_where_one_side_is_wanted_names_the_key_for_both() -> None:
    with pytest.raises(SignatureError, match="the key `signature` takes"):
        parse_signature("a: str -> b: str")
    assert parse_signature("a | from -> to").fields[0].description == "from -> to"


def test_only_ascii_digits_are_numbers() -> None:
    """As the schema has it that a model is held to."""
    signature = parse_signature("d: dict[int, str]")
    assert faults_of(signature, {"d": {"٣": "x"}}, "input")
    with pytest.raises(SignatureError):
        parse_signature("x: Literal[٣]")


SIGNATURE = parse_signature(
    "q: str, n: int, x: float, yes: bool, tags: list[str], by: dict[str, int],"
    "of: dict[int, str]?, kind: Literal['a', 1], more: str?"
)
GOOD = {
    "q": "hi",
    "n": 3,
    "x": 1,
    "yes": True,
    "tags": ["a"],
    "by": {"a": 1},
    "of": {"-3": "x"},
    "kind": 1,
}


def test_values_that_fit_have_no_faults_and_what_was_left_out_is_null() -> None:
    assert faults_of(SIGNATURE, GOOD, "input") == ()
    assert completed(SIGNATURE, GOOD) == {**GOOD, "more": None}
    jsonschema.validate(GOOD, json_schema(SIGNATURE))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q": 3}, "input `q` must be str, not int"),
        ({"n": "3"}, "input `n` must be int, not str"),
        ({"n": True}, "input `n` must be int, not bool"),
        ({"n": 1.5}, "input `n` must be int, not float"),
        ({"x": False}, "input `x` must be float, not bool"),
        ({"yes": 1}, "input `yes` must be bool, not int"),
        ({"tags": "a"}, "input `tags` must be a list, not str"),
        ({"tags": ["a", 2]}, "input `tags`[1] must be str, not int"),
        ({"by": []}, "input `by` must be an object, not a list"),
        ({"by": {"k": None}}, "input `by`['k'] must be int, not null"),
        ({"of": {"x": "y"}}, "input `of` has a key that it must not have: `x`"),
        ({"kind": True}, "input `kind` must be 'a' or 1"),
        ({"more": 3}, "input `more` must be str, not int"),
        ({"tagz": []}, "input `tagz` is not known; did you mean `tags`?"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_the_schema_agrees(
    change: dict[str, object], words: str
) -> None:
    values = {**GOOD, **change}
    assert faults_of(SIGNATURE, values, "input") == (words,)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, json_schema(SIGNATURE))


def test_what_is_whole_is_kept_as_an_int() -> None:
    """JSON has 3.0 for 3, at any depth."""
    signature = parse_signature("n: int?, tags: list[int], by: dict[str, list[int]], x: float")
    values = {"n": 3.0, "tags": [1, -2.0], "by": {"a": [4e18]}, "x": 1.0}
    assert faults_of(signature, values, "output") == ()
    found = completed(signature, values)
    assert repr(found) == repr(
        {"n": 3, "tags": [1, -2], "by": {"a": [4_000_000_000_000_000_000]}, "x": 1.0}
    )
    assert completed(signature, {"tags": [], "by": {}, "x": 1})["n"] is None


@pytest.mark.parametrize("number", [1e30, -1e19, 2.0**63, 100_000_000_000_000_000_000.0])
def test_a_number_whose_digits_nobody_keeps_is_no_int(number: float) -> None:
    """JSON of 20 digits is read as a float: what is stored would be another number."""
    faults = faults_of(parse_signature("n: int"), {"n": number}, "output")
    assert faults == ("output `n` must be int, not a number of more than 64 bits",)


def test_what_is_missing_is_named_with_its_type() -> None:
    faults = faults_of(SIGNATURE, {}, "input")
    assert faults[0] == "input `q` (str) is missing"
    assert len(faults) == 7


def test_a_thousand_faults_are_cut_short() -> None:
    signature = parse_signature("a: list[int]")
    assert len(faults_of(signature, {"a": ["x"] * 1000}, "input")) == 10


def test_a_manifest_with_a_bad_signature_is_told_with_line_and_character(tmp_path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nname = "X"\n[io]\ninput = "a: lst[str]"\n')
    with pytest.raises(ConfigError) as raised:
        load_manifest(path, {})
    (problem,) = raised.value.problems
    assert (problem.line, problem.hint) == (4, "did you mean `list`?")
    assert "at character 4 of the signature: `lst` is no type" in problem.message


def test_a_manifest_hands_off_in_one_way(tmp_path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nname = "X"\n[io]\nhand_off = "a"\nhand_off_choices = ["b"]\n')
    with pytest.raises(ConfigError, match="keep one of them"):
        load_manifest(path, {})


def test_a_manifest_has_one_string_or_two(tmp_path) -> None:
    path = tmp_path / "agent.toml"
    head = '[agent]\nname = "X"\n[io]\n'
    path.write_text(f'{head}signature = "a: str -> b: str"\n')
    assert load_manifest(path, environ={}).manifest.io.signature == "a: str -> b: str"
    path.write_text(f'{head}signature = "a: str -> b: str"\noutput = "c"\n')
    with pytest.raises(ConfigError) as caught:
        load_manifest(path, environ={})
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (4, 1)
    assert "there is `output` too" in problem.message
    path.write_text(f'{head}signature = "a: str"\n')
    with pytest.raises(ConfigError, match="expected `->`"):
        load_manifest(path, environ={})


def test_an_agent_that_is_called_as_nobody_cannot_be_chosen(tmp_path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nname = "X"\n[io]\nhand_off_choices = ["writer", "None"]\n')
    with pytest.raises(ConfigError, match="`none` is what a model says that chooses nobody"):
        load_manifest(path, environ={})
