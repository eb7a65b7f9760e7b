"""docs/conformance.md tells of the suite as it is."""

import re
from pathlib import Path

import msgspec

from atoll_conformance.profile import Profile
from atoll_conformance.table import TABLE

PAGE = (Path(__file__).parents[2] / "docs/conformance.md").read_text()


def test_the_page_lists_the_rows_as_they_are() -> None:
    told = re.findall(r"^\| ([A-G]\d+) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert told == [(row.id, row.title, row.expected) for row in TABLE]


def test_the_page_explains_every_key_of_a_profile() -> None:
    profiles = PAGE.partition("## Profiles")[2].partition("## Rows")[0]
    keys = [field.name for field in msgspec.structs.fields(Profile)]
    assert [key for key in keys if f"`{key}`" not in profiles] == []
