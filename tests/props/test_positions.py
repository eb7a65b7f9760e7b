"""The scanner knows the place of everything that the TOML parser finds."""

import tomllib
from collections.abc import Iterator

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.config.positions import Path, scan_json, scan_toml
from tests.props.test_load import TOML

KEYS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=6)
LEAVES = st.one_of(
    st.integers(-(10**9), 10**9), st.booleans(), st.floats(), st.text(max_size=12), st.dates()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
DOCUMENTS = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=4),
    lambda inner: st.dictionaries(KEYS, inner | VALUES, max_size=3),
    max_leaves=6,
)


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    match value:
        case dict():
            for key, inner in value.items():
                yield (*path, key)
                yield from paths(inner, (*path, key))
        case list():
            for number, inner in enumerate(value):
                yield (*path, number)
                yield from paths(inner, (*path, number))
        case _:
            pass


@settings(deadline=None)
@given(DOCUMENTS, st.booleans())
def test_every_key_and_item_of_a_document_has_a_place(document: dict, multiline: bool) -> None:
    text = tomli_w.dumps(document, multiline_strings=multiline).replace("\r\n", "\n")
    scan = scan_toml(text)
    assert scan.refusal is None
    missing = set(paths(tomllib.loads(text))) - scan.by_path.keys()
    # A table that only its sub-tables name has no text of its own.
    unknown = [path for path in missing if not any(is_below(path, deep) for deep in scan.by_path)]
    assert unknown == []


def is_below(path: Path, deep: Path) -> bool:
    return len(deep) > len(path) and deep[: len(path)] == path


@settings(deadline=None)
@given(TOML)
def test_what_the_parser_accepts_the_scanner_read_to_its_end(data: bytes) -> None:
    """A text on which the scanner gives up early could hide a bomb behind that place."""
    text = data.decode().replace("\r\n", "\n")
    try:
        tomllib.loads(text)
    except ValueError:
        return
    end = f"{text}\nlast_key = 1" if not text.strip().endswith("\\") else text
    assert any(path[-1:] == ("last_key",) for path in scan_toml(end).by_path)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_scanned_without_an_error(text: str) -> None:
    for scan in (scan_toml(text), scan_json(text)):
        assert all(0 <= entry.key <= entry.value <= len(text) for entry in scan.pairs)
