"""The example fleet loads without a word of complaint and says what each agent is for."""

import msgspec
import pytest

from atoll.adapters.python_tools import load_tools
from atoll.config.load import load_manifest
from atoll.config.manifest import Manifest
from atoll.config.names import slug_of
from atoll.config.pending import pending
from atoll.config.signature import parse_signature
from tests.arch.tree import AGENTS

FOLDERS = sorted(path for path in AGENTS.iterdir() if path.is_dir())
NAMES = [path.name for path in FOLDERS if not path.name.startswith(("_", "."))]
MAX_PROMPT = 400
"""Characters; the embedded model has 135 million parameters and a short context."""


def manifest(name: str) -> Manifest:
    """The example's manifest; raises ConfigError with every mistake."""
    return load_manifest(AGENTS / name / "agent.toml", {}).manifest


def test_the_fleet_has_the_five_agents_of_the_readme() -> None:
    assert {"assistant", "coder", "coordinator", "librarian", "machine"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_loads_and_its_folder_is_its_key(name: str) -> None:
    assert slug_of(manifest(name).agent.name) == name


@pytest.mark.parametrize("name", NAMES)
def test_an_example_leaves_the_choice_of_the_model_to_the_runtime(name: str) -> None:
    llm = manifest(name).llm
    assert (llm.provider, llm.model, llm.base_url) == (None, None, None)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_a_description_and_a_short_prompt(name: str) -> None:
    found = manifest(name)
    assert found.agent.description
    assert found.agent.capabilities
    assert 0 < len(found.llm.system_prompt) <= MAX_PROMPT


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_of_an_example_begins_with_its_use_and_a_question(name: str) -> None:
    first = (AGENTS / name / "README.md").read_text().splitlines()[0]
    assert "ask it: " in first
    assert first.count('"') == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_tools_of_an_example_are_described_to_the_model(name: str) -> None:
    python = manifest(name).tools.python
    tools = load_tools(AGENTS / name / python) if python else ()
    assert bool(tools) == (AGENTS / name / "tools.py").exists()
    for tool in tools:
        assert tool.spec.description != tool.spec.name
        properties = msgspec.convert(
            tool.spec.parameters["properties"], dict[str, dict[str, object]]
        )
        assert all(part.get("description") for part in properties.values()), tool.spec


def test_nothing_of_an_example_waits_for_a_later_release() -> None:
    """What an example asks for and the runtime does not do yet is told at its start."""
    loaded = [load_manifest(AGENTS / name / "agent.toml", {}) for name in NAMES]
    assert [told for one in loaded for told in pending(one)] == []


def test_an_example_is_typed_as_the_page_of_runs_says() -> None:
    io = manifest("assistant").io
    assert io.input is not None
    assert io.output is not None
    assert parse_signature(io.input).names == ("query",)
    assert parse_signature(io.output).names == ("result",)


def test_the_children_of_an_example_are_in_the_fleet() -> None:
    fleet = {name: manifest(name) for name in NAMES}
    offered = {capability for found in fleet.values() for capability in found.agent.capabilities}
    children = [child for found in fleet.values() for child in found.sub_agents.values()]
    assert children
    assert all(child.agent in fleet or child.capability in offered for child in children)
