"""The JSON Schema that editors use says the same as the reader."""

import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from atoll.config.load import load_manifest
from atoll.config.manifest import Manifest
from atoll.config.meanings import MEANINGS
from atoll.config.schema import manifest_schema
from atoll.errors import ConfigError
from tests.core.manifests import FULL

HEAD = '[agent]\nname = "X"\n'
Keys = dict[str, dict[str, object]]


def is_valid(text: str) -> bool:
    return Draft202012Validator(manifest_schema()).is_valid(tomllib.loads(text))


def tables() -> dict[str, Keys]:
    schema = manifest_schema()
    found = {name: table["properties"] for name, table in schema["$defs"].items()}
    return {"Manifest": schema["properties"], **found}


def loads(folder: Path, text: str) -> bool:
    (folder / "agent.toml").write_text(text)
    try:
        return bool(load_manifest(folder / "agent.toml", {}))
    except ConfigError:
        return False


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    schema = manifest_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "agent.toml"
    assert set(schema["properties"]) == set(Manifest.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (FULL, True),
        (HEAD, True),
        (HEAD + '[sub_agents.a]\nurl = "http://a"\n', True),
        (HEAD + '[mcp_servers.a]\ntransport = "stdio"\ncommand = "x"\ntimeout = 3\n', True),
        (HEAD + "[deployment]\nauto_restart = true\nport = 8100\n", True),
        (HEAD + "[server]\non_disconnect = 2.5\n", True),
        ("", False),
        ("[agent]\n", False),
        (HEAD + "nmae = 1\n", False),
        (HEAD + "[lmm]\n", False),
        (HEAD + "[llm]\ntemperature = 3\n", False),
        (HEAD + '[llm]\nprovider = "olama"\n', False),
        (HEAD + "[deployment]\nport = 22\n", False),
        (HEAD + "[deployment]\nport = 65536\n", False),
        (HEAD + "[resources]\nmemory_limit = 3\n", False),
        (HEAD + "[sub_agents.a]\n", False),
        (HEAD + '[sub_agents.a]\nurl = "http://a"\nagent = "a"\n', False),
        (HEAD + '[server]\non_disconnect = "x"\n', False),
        (HEAD + "[mcp_servers.a]\ncommand = 1\n", False),
    ],
)
def test_an_editor_and_the_reader_agree(tmp_path: Path, text: str, good: bool) -> None:
    assert is_valid(text) is good
    assert loads(tmp_path, text) is good


def test_every_key_has_a_title_and_a_meaning() -> None:
    keys = {f"{t}.{key}": shape for t, found in tables().items() for key, shape in found.items()}
    assert [key for key, shape in keys.items() if not shape["title"]] == []
    assert [key for key, shape in keys.items() if not shape.get("description")] == []
    spellings = {key for key, shape in keys.items() if shape.get("deprecated")}
    assert set(MEANINGS) == set(keys) - spellings


def test_the_source_systems_spellings_are_known_and_deprecated() -> None:
    servers = tables()["McpServer"]
    old = {key for key, shape in servers.items() if shape.get("deprecated")}
    assert old == {"transport", "timeout", "timeoutSeconds", "envFile"}
    assert tables()["Deployment"]["auto_restart"]["deprecated"]


def test_no_key_offers_null() -> None:
    assert "null" not in str(manifest_schema())


def test_defaults_are_told() -> None:
    assert tables()["Deployment"]["restart"]["default"] == "on-failure"
    assert tables()["Tools"]["max_result_chars"]["default"] == 20_000
