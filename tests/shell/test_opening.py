"""What an agent says when it is opened: what it runs on, and what it does not act on yet."""

import json
import sys
from pathlib import Path

import pytest

from atoll.adapters.mcp import extra
from atoll.config.load import load_manifest
from atoll.config.places import places_of
from atoll.errors import AgentError, ConfigError
from atoll.loop.agent import Agent
from atoll.loop.opening import open_agent

pytestmark = pytest.mark.anyio

FAKE = Path(__file__).parents[1] / "fakes" / "mcp_server.py"
DEMO = '[agent]\nname = "Otto"\n[llm]\nprovider = "demo"\n'


async def opened(folder: Path, manifest: str, **environ: str) -> tuple[Agent, list[str]]:
    path = folder / "otto" / "agent.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(manifest)
    said: list[str] = []
    env = {"HOME": str(folder), **environ}
    agent = await open_agent(
        load_manifest(path, env), places_of(env, 0, folder / "state"), env, said.append
    )
    await agent.close()
    return agent, said


async def test_the_back_end_is_told_with_the_reason(tmp_path: Path) -> None:
    agent, said = await opened(tmp_path, DEMO)
    assert said == ["back end: demo demo (named in the manifest)"]
    assert agent.identity.backend == "demo"


async def test_nothing_of_a_manifest_is_silently_ignored(tmp_path: Path) -> None:
    manifest = DEMO + "[resources]\ntimeout = 9\n"
    _, said = await opened(tmp_path, manifest)
    assert any("resources.timeout" in sentence for sentence in said)


async def test_an_mcp_json_beside_the_manifest_is_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "otto").mkdir()
    servers = {"servers": {"files": {"command": "python3"}}}
    (tmp_path / "otto/mcp.json").write_text(json.dumps(servers))
    _, said = await opened(tmp_path, DEMO)
    assert any("names the MCP servers files" in sentence for sentence in said)


async def test_the_servers_of_a_manifest_become_tools_beside_those_of_tools_py(
    tmp_path: Path,
) -> None:
    (tmp_path / "otto").mkdir()
    (tmp_path / "otto/tools.py").write_text('def double(n: int) -> int:\n    """Twice."""\n')
    server = f"[mcp_servers.a]\ncommand = '{sys.executable}'\nargs = ['{FAKE}', 'good']\n"
    bad = "[mcp_servers.b]\ncommand = 'false'\n"
    agent, said = await opened(tmp_path, DEMO + '[tools]\npython = "tools.py"\n' + server + bad)
    assert agent.has_tools
    assert any("MCP server a is connected" in sentence for sentence in said)
    assert any("MCP server b does not work" in sentence for sentence in said)


async def test_without_the_sdk_the_line_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'atoll\[mcp\]'"):
        await opened(tmp_path, DEMO + "[mcp_servers.a]\ncommand = 'x'\n")


async def test_a_broken_mcp_json_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "otto").mkdir()
    (tmp_path / "otto/mcp.json").write_text('{"servers":\n oops}')
    with pytest.raises(ConfigError, match=r"mcp\.json:2:"):
        await opened(tmp_path, DEMO)


async def test_the_users_ollama_config_fills_what_the_manifest_leaves_out(tmp_path: Path) -> None:
    config = tmp_path / ".ollama_server/.ollama_config.json"
    config.parent.mkdir()
    config.write_text('{"model": "mistral", "temperature": 0.3, "top_p": 0.5, "port": 9}')
    manifest = '[agent]\nname = "Otto"\n[llm]\nprovider = "ollama"\ntemperature = 0.9\n'
    agent, _ = await opened(tmp_path, manifest)
    assert agent.identity.model_name == "mistral"
    assert (agent.manifest.llm.temperature, agent.manifest.llm.top_p) == (0.9, 0.5)


async def test_the_daemon_names_the_instance(tmp_path: Path) -> None:
    agent, _ = await opened(tmp_path, DEMO, ATOLL_INSTANCE="abc")
    assert agent.identity.instance_id == "abc"


async def test_tools_that_cannot_be_imported_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no such file"):
        await opened(tmp_path, DEMO + '[tools]\npython = "tools.py"\n')
