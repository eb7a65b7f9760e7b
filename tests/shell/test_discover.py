"""Which folders are agents, and which of them may be trusted."""

import os

import pytest

from atoll.errors import ConfigError
from atoll_supervisor.shell.discover import discover, trust_problem


@pytest.fixture
def agents(tmp_path):
    made = tmp_path / "agents"
    made.mkdir(mode=0o755)
    return made


def put(agents, folder, name=None, file="agent.toml", text=None):
    place = agents / folder
    place.mkdir(exist_ok=True)
    path = place / file
    path.write_text(text or f'[agent]\nname = "{name or folder}"\n')
    return path


def names(found):
    return [loaded.manifest.agent.name for loaded in found.found]


def messages(found):
    return [problem.message for broken in found.broken for problem in broken.problems]


def test_sub_folders_are_found_in_order(agents):
    """Sorted by folder; what has no manifest or is hidden is no agent and no fault."""
    for folder in ("b", "a", ".hidden"):
        put(agents, folder)
    (agents / "data").mkdir()
    (agents / "README.md").write_text("x")
    put(agents / "data", "too-deep")
    found = discover(agents, {})
    assert names(found) == ["a", "b"]
    assert found.found[0].path == agents / "a" / "agent.toml"
    assert found.broken == ()


def test_toml_wins_over_json(agents):
    """agent.json counts only where there is no agent.toml."""
    put(agents, "a", "FromToml")
    put(agents, "a", file="agent.json", text='{"agent": {"name": "FromJson"}}')
    put(agents, "b", file="agent.json", text='{"agent": {"name": "OnlyJson"}}')
    assert names(discover(agents, {})) == ["FromToml", "OnlyJson"]


def test_one_mistake_hides_nothing_else(agents):
    """A broken manifest is reported with its place, the others are found."""
    bad = put(agents, "bad", text="[agent\n")
    put(agents, "good")
    found = discover(agents, {})
    assert names(found) == ["good"]
    assert [broken.path for broken in found.broken] == [bad]
    assert found.broken[0].problems[0].line > 0


def test_the_second_of_a_name_is_told_about_the_first(agents):
    """Names that slug to the same key clash, whatever their spelling."""
    first = put(agents, "a", "My Agent")
    second = put(agents, "b", "my-agent")
    found = discover(agents, {})
    assert names(found) == ["My Agent"]
    assert [broken.path for broken in found.broken] == [second]
    assert str(first) in messages(found)[0]


def test_links_that_lead_outside_are_refused(agents, tmp_path):
    """A folder or a manifest from elsewhere is a fault; a link within the tree is not."""
    outside = put(tmp_path, "outside")
    (agents / "folder").symlink_to(outside.parent)
    (agents / "file").mkdir()
    (agents / "file" / "agent.toml").symlink_to(outside)
    put(agents, "inside")
    (agents / "inside" / "alias").symlink_to("agent.toml")
    found = discover(agents, {})
    assert names(found) == ["inside"]
    assert len(messages(found)) == 2
    assert all("leads outside" in message for message in messages(found))


def test_loops_and_dangling_links(agents):
    """A fault of that folder only (faults.md row 31)."""
    (agents / "loop").symlink_to("loop")
    (agents / "gone").symlink_to("nothing")
    (agents / "dir").mkdir()
    (agents / "dir" / "agent.toml").mkdir()
    put(agents, "good")
    found = discover(agents, {})
    assert names(found) == ["good"]
    assert len(found.broken) == 3


@pytest.mark.parametrize("what", ["a", "a/agent.toml"])
@pytest.mark.parametrize(("mode", "who"), [(0o757, "everybody"), (0o772, "everybody")])
def test_what_others_can_change_is_refused(agents, what, mode, who):
    """As sshd does, with the command that mends it (attacks.md S15)."""
    put(agents, "a")
    (agents / what).chmod(mode)
    found = discover(agents, {})
    assert found.found == ()
    assert f"can be changed by {who}" in messages(found)[0]
    assert "chmod go-w" in found.broken[0].problems[0].hint


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_what_belongs_to_others_is_refused(agents):
    """Neither the manifest, nor its folder, nor the folder of all agents."""
    path = put(agents, "a")
    for place in (path, path.parent):
        os.chown(place, 65534, 65534)
        assert "uid 65534" in messages(discover(agents, {}))[0]
        os.chown(place, 0, 0)
    os.chown(agents, 65534, 65534)
    with pytest.raises(ConfigError, match="uid 65534"):
        discover(agents, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the group needs root")
def test_a_shared_group_is_others(agents):
    """Group-writable is fine for the owner's private group only (as in Debian's sshd)."""
    path = put(agents, "a")
    path.chmod(0o664)
    assert trust_problem(path) is None  # root's own group
    os.chown(path, 0, 65534)
    assert "its group" in trust_problem(path).message


def test_no_folder_of_agents(tmp_path):
    """A clear error that names the option."""
    with pytest.raises(ConfigError, match="--agents-dir"):
        discover(tmp_path / "missing", {})
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--agents-dir"):
        discover(tmp_path / "file", {})
