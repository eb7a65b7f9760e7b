"""docs/manifest.md says what the code does."""

import re
from pathlib import Path

from scripts import manifest

from atoll.config.load import load_manifest
from atoll.config.manifest import Manifest

EXAMPLES = re.findall(r"```toml\n(.*?)```", manifest.PAGE.read_text(), re.DOTALL)


def test_the_tables_are_those_of_the_structs() -> None:
    """After a change of a Struct or a meaning: python scripts/manifest.py."""
    assert manifest.PAGE.read_text() == manifest.page()


def test_every_table_and_key_has_its_line() -> None:
    text = manifest.tables()
    headers = {line.strip("#[]` ") for line in text.splitlines() if line.startswith("## ")}
    tops = {header.removesuffix(".<name>") for header in headers}
    assert tops == set(Manifest.__struct_fields__)
    assert len(re.findall(r"^\| `", text, re.MULTILINE)) == len(list(manifest.every_key()))


def test_a_type_a_default_and_what_comes_later_are_told() -> None:
    lines = manifest.tables().splitlines()
    wanted = [
        r"\| `temperature` \| a number from 0 to 2 \|  \| .*\. \|",
        r"\| `max_queue` \| a whole number of 0 or more \| `512` \| .*\. \|",
        r"\| `execute_code` \| true or false \| `false` \| Whether .* the sandbox\. \|",
        r"\| `engine` \| `local` or `slurm` \| `\"local\"` \| .*\. \|",
        r"\| `mode` \| .* \*Later\.\* \|",
    ]
    for pattern in wanted:
        assert any(re.fullmatch(pattern, line) for line in lines), pattern


def test_the_examples_load(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    for text in EXAMPLES:
        path.write_text(text)
        load_manifest(path, {})
    assert len(EXAMPLES) == 2


def test_the_full_example_sets_every_table(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(EXAMPLES[1])
    given = load_manifest(path, {}).given
    assert {key.partition(".")[0] for key in given} == set(Manifest.__struct_fields__)
