"""Where keys and values stand, and what the parsers must not be given."""

import tomllib

import pytest

from atoll.config.positions import (
    MAX_DEPTH,
    MAX_PARTS,
    MAX_VALUES,
    Path,
    Scan,
    scan_json,
    scan_toml,
)


def marked(text: str) -> tuple[str, int]:
    """The text without its `@`, and where that stood."""
    assert text.count("@") == 1
    return text.replace("@", ""), text.index("@")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a = @1", ("a",)),
        ("a=@'x' # b = 2", ("a",)),
        ("\n\n  a  =\t@1", ("a",)),
        ("[t]\na = @1", ("t", "a")),
        ("[ t . u ]\na = @1", ("t", "u", "a")),
        ('["t.u"]\na = @1', ("t.u", "a")),
        ("['t\"u']\na = @1", ('t"u', "a")),
        ('"a\\u00e4" = @1', ("aä",)),
        ('"" = @1', ("",)),
        ('"a\tb" = @1', ("a\tb",)),
        ('"\\U0001F600\\U00000022" = @1', ('\U0001f600"',)),
        ('"\\\\U0001F600" = @1', ("\\U0001F600",)),
        ("a.b . c = @1", ("a", "b", "c")),
        ("a = {b = 1, c = @2}", ("a", "c")),
        ("a = {b.c = {d = @2}}", ("a", "b", "c", "d")),
        ("a = [1, @2]", ("a", 1)),
        ("a = [\n # one [\n 1, # ]\n @2,\n]", ("a", 1)),
        ("a = [[1], [2, @3]]", ("a", 1, 1)),
        ("a = [{b = 1}, {b = @2}]", ("a", 1, "b")),
        ('a = """\nb = 1\n"""\nb = @2', ("b",)),
        ('a = """x\\""""\nb = @2', ("b",)),
        ('a = """"x"""""\nb = @2', ("b",)),
        ("a = '''''x'''''\nb = @2", ("b",)),
        ('a = ""\nb = @2', ("b",)),
        ('a = "#[{"\nb = @2', ("b",)),
        ('a = "\\\\"\nb = @2', ("b",)),
        ("a = 1979-05-27 07:32:00 # x\nb = @2", ("b",)),
        ("a = 'ü\u2028'\nb = @2", ("b",)),
    ],
)
def test_a_value_is_found(text: str, path: Path) -> None:
    text, at = marked(text)
    tomllib.loads(text)
    assert scan_toml(text).by_path[path].value == at


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("@a = 1", ("a",)),
        ("[@t]\na = 1", ("t",)),
        ("[t]\n  @a.b = 1", ("t", "a", "b")),
        ("[t]\n  @a.b = 1", ("t", "a")),
        ("a = {b = 1, @c = 2}", ("a", "c")),
        ("[[@t]]\na = 1", ("t",)),
    ],
)
def test_a_key_is_found(text: str, path: Path) -> None:
    text, at = marked(text)
    tomllib.loads(text)
    assert scan_toml(text).by_path[path].key == at


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": @1}', ("a",)),
        ('{\n "a"\n :\n @1}', ("a",)),
        ('{"a": {"b.c": [1, @{}]}}', ("a", "b.c", 1)),
        ('{"a": "}\\"", "b": @null}', ("b",)),
        ('{"a\\u00e4\\ud83d\\ude00": @1}', ("aä\U0001f600",)),
        ('@{"a": 1}', ()),
    ],
)
def test_a_json_value_is_found(text: str, path: Path) -> None:
    text, at = marked(text)
    assert scan_json(text).by_path[path].value == at


def test_what_has_no_place_is_told_at_the_table_around_it() -> None:
    scan = scan_toml("[t]\na = 1")
    entry = scan.nearest(("t", "b", 3))
    assert entry is not None
    assert entry.path == ("t",)
    assert scan.nearest(("x",)) is None


@pytest.mark.parametrize(
    "text", ["", "=", "[", "a", "a = ", "a = [", 'a = "', "a = {b", "\\", "a = ]"]
)
def test_a_broken_text_ends_the_scan_without_a_word(text: str) -> None:
    assert scan_toml(f"b = 1\n{text}").by_path[("b",)].value == 4
    assert isinstance(scan_json(text), Scan)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a" + ".a" * MAX_PARTS + " = 1", "parts"),
        ("[" + "a." * MAX_PARTS + "a]", "parts"),
        ("x = [{" + "a." * MAX_PARTS + "a = 1}]", "parts"),
        ("x = " + "[" * (MAX_DEPTH + 1) + "1", "brackets"),
        ("x = " + "{a = " * (MAX_DEPTH + 1) + "1", "brackets"),
        ("x = [" + "1," * MAX_VALUES + "]", "keys and values"),
        ("x = [1, -" + "9" * 200 + "]", "a number"),
    ],
)
def test_a_bomb_is_refused_before_the_parser_sees_it(text: str, words: str) -> None:
    refusal = scan_toml(text).refusal
    assert refusal is not None
    assert words in refusal.words


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * (MAX_PARTS - 1) + " = 1",
        "x = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "x = '" + "[" * 500 + "." * 500 + "9" * 5000 + "'",
        "x = '''\n" + "[" * 500 + "." * 500 + "\n'''",
        "# " + "[" * 500 + "." * 500,
        "x = [" + ", ".join(["1.5"] * 100) + "]",
    ],
)
def test_what_only_looks_like_a_bomb_passes(text: str) -> None:
    tomllib.loads(text)
    assert scan_toml(text).refusal is None
