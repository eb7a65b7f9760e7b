"""config check, schema and pull: the commands that need no daemon."""

import json
from pathlib import Path

import pytest

from tests.fakes.cli import atoll

pytestmark = pytest.mark.anyio

GOOD = '[agent]\nname = "Good"\n'


def agent(home: Path, name: str, text: str) -> Path:
    folder = home / "atoll_agents" / name
    folder.mkdir(parents=True)
    manifest = folder / "agent.toml"
    manifest.write_text(text)
    return manifest


async def test_a_good_manifest_and_a_good_folder_are_exit_0(tmp_path: Path) -> None:
    manifest = agent(tmp_path, "good", GOOD)
    for args in ([str(manifest)], [str(manifest.parent)], [str(manifest.parent.parent)], []):
        said = await atoll(tmp_path, "config", "check", *args)
        assert (said.code, said.err) == (0, "")
        assert said.out.endswith(": good\n")


async def test_every_mistake_is_listed_with_its_place_and_exit_5(tmp_path: Path) -> None:
    agent(tmp_path, "good", GOOD)
    agent(tmp_path, "typo", '[agent]\nname = "Typo"\n[llm]\ntemprature = 1\n')
    agent(tmp_path, "twice", GOOD)
    said = await atoll(tmp_path, "config", "check")
    assert said.code == 5
    assert "typo/agent.toml:4:1: " in said.out
    assert "temperature" in said.out
    assert "twice/agent.toml" in said.out
    assert said.err == "2 mistakes\n"


async def test_the_mistakes_are_machine_readable(tmp_path: Path) -> None:
    agent(tmp_path, "typo", '[agent]\nname = "Typo"\nport = 1\n')
    said = await atoll(tmp_path, "config", "check", "--json")
    found = json.loads(said.out)
    assert (said.code, found["ok"]) == (5, False)
    assert found["problems"][0]["line"] == 3


async def test_a_manifest_cannot_play_with_the_terminal(tmp_path: Path) -> None:
    agent(tmp_path, "evil", '[agent]\nname = "Evil"\n"\\u001b[2Jx" = 1\n')
    said = await atoll(tmp_path, "config", "check")
    assert said.code == 5
    assert "\x1b" not in said.out


async def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert (await atoll(tmp_path, "config", "check", "nowhere")).code == 2
    assert (await atoll(tmp_path, "config", "check")).code == 5


async def test_the_schema_is_a_json_schema_of_the_manifest(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "schema")
    schema = json.loads(said.out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"agent", "llm", "deployment"} <= set(schema["properties"])


async def test_a_model_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "pull", "no-such-model", more={"XDG_DATA_HOME": str(tmp_path)})
    assert said.code == 1
    assert "no-such-model" in said.err
    assert "Traceback" not in said.err


async def test_a_bad_setting_names_where_it_came_from(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "ps", more={"ATOLL_API_PORT": "abc"})
    assert said.code == 5
    assert "ATOLL_API_PORT" in said.err


async def test_a_bind_beyond_loopback_without_a_token_is_refused_with_the_cure(
    tmp_path: Path,
) -> None:
    said = await atoll(tmp_path, "up", "--host", "0.0.0.0", "--auth", "none")
    assert said.code == 5
    assert "--host 127.0.0.1" in said.err
