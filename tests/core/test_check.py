"""`atoll config check`: every mistake of a manifest or of a folder of agents."""

from pathlib import Path

from atoll.config.check import check, manifest_in


def agent(folder: Path, name: str, text: str, file: str = "agent.toml") -> Path:
    (folder / name).mkdir(exist_ok=True)
    path = folder / name / file
    path.write_text(text)
    return path


def named(name: str, more: str = "") -> str:
    return f'[agent]\nname = "{name}"\n{more}'


def told(path: Path, here: Path | None = None) -> list[str]:
    return [f"{problem.where}: {problem.message}" for problem in check(path, {}, here or path)]


def test_good_agents_have_no_problem(tmp_path: Path) -> None:
    manifest = agent(tmp_path, "a", named("A"))
    agent(tmp_path, "b", '{"name": "B"}', "agent.json")
    assert told(tmp_path) == told(manifest.parent) == told(manifest, tmp_path) == []


def test_the_mistakes_of_all_agents_are_told_in_the_order_of_their_folders(tmp_path: Path) -> None:
    agent(tmp_path, "b", named("B", "x = 1\ny = 2\n"))
    agent(tmp_path, "a", named("A", "[llm]\ntop_p = 9\n"))
    agent(tmp_path, "c", '{"name": "C", "x": 1}', "agent.json")
    assert [line.split(": ")[0] for line in told(tmp_path)] == [
        "a/agent.toml:4:9",
        "b/agent.toml:3:1",
        "b/agent.toml:4:1",
        "c/agent.json:1:15",
    ]


def test_a_mistake_in_mcp_json_names_that_file(tmp_path: Path) -> None:
    agent(tmp_path, "a", '{"name": "A"}', "agent.json")
    agent(tmp_path, "a", '{"servers": []}', "mcp.json")
    (found,) = told(tmp_path)
    assert found.startswith("a/mcp.json:1:13: `servers`: expected a table")


def test_toml_is_preferred_to_json(tmp_path: Path) -> None:
    wanted = agent(tmp_path, "a", named("A"))
    agent(tmp_path, "a", "not json", "agent.json")
    assert manifest_in(tmp_path / "a") == wanted
    assert told(tmp_path) == []


def test_two_agents_of_one_key_are_a_mistake_of_the_second(tmp_path: Path) -> None:
    first = agent(tmp_path, "a", named("My Agent"))
    agent(tmp_path, "b", named("my-agent"))
    agent(tmp_path, "c", '{"agent":\n {"name": "MY AGENT"}}', "agent.json")
    second, third = told(tmp_path)
    assert second.startswith('b/agent.toml:2:8: `agent.name`: "my-agent" has the same key')
    assert third.startswith("c/agent.json:2:11: ")
    assert str(first) in second
    assert str(first) in third


def test_two_agents_of_one_fixed_port_are_a_mistake_of_the_second(tmp_path: Path) -> None:
    port = "[deployment]\nport = 8200\n"
    first = agent(tmp_path, "a", named("A", port))
    agent(tmp_path, "b", named("B", port))
    (found,) = told(tmp_path)
    assert found.startswith("b/agent.toml:4:8: ")
    assert f"port 8200 is also the fixed port of {first}" in found


def test_hidden_folders_and_folders_without_a_manifest_are_no_agents(tmp_path: Path) -> None:
    agent(tmp_path, "a", named("A"))
    agent(tmp_path, ".git", "broken")
    agent(tmp_path, "docs", "broken", "README.md")
    (tmp_path / "agent.txt").write_text("broken")
    assert told(tmp_path) == []


def test_a_folder_without_agents_is_a_mistake(tmp_path: Path) -> None:
    assert told(tmp_path) == [f"{tmp_path}: holds no agent"]


def test_a_path_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    (found,) = told(tmp_path / "no.toml")
    assert "cannot be read: No such file" in found


def test_a_file_is_named_as_an_editor_started_here_finds_it(tmp_path: Path) -> None:
    manifest = agent(tmp_path, "a", named("A", "x = 1\n"))
    here = tmp_path / "elsewhere"
    assert told(tmp_path, here)[0].startswith(f"{manifest}:3:1: ")
    assert told(manifest, tmp_path.parent)[0].startswith(f"{tmp_path.name}/a/agent.toml:3:1: ")
    assert told(manifest, manifest.parent)[0].startswith("agent.toml:3:1: ")
    assert told(Path("a"), tmp_path)[0].startswith("a/agent.toml:3:1: ")
