"""Which folders are watched: the agents' own and their packages, and nothing without end."""

from pathlib import Path

import pytest

from atoll_supervisor.shell.watched import MOST, concerns, folders_of


def names(agents: Path) -> set[str]:
    return {str(Path(path).relative_to(agents)) for path in folders_of(agents)}


def test_packages_are_watched_and_what_programs_fill_is_not(tmp_path: Path) -> None:
    for name in ("a/lib/deep", "a/__pycache__", "a/.venv/lib", "a/own/lib", ".git/x", "b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "own" / "pyvenv.cfg").touch()
    assert names(tmp_path) == {".", "a", "a/lib", "a/lib/deep", "a/own", "b"}


def test_a_data_set_in_an_agents_folder_is_not_watched(tmp_path: Path) -> None:
    for number in range(3 * MOST):
        (tmp_path / "a" / f"part{number}").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    found = names(tmp_path)
    assert {"a", "b"} <= found
    assert len(found) == MOST + 2


def test_links_are_followed_from_the_top_and_to_the_inside_only(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    for name in ("agents/a", "agents/.store/c", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (agents / "c").symlink_to(".store/c")
    (agents / "out").symlink_to(tmp_path / "outside")
    (agents / "loop").symlink_to("loop")
    (agents / "a" / "up").symlink_to("..")
    assert names(agents) == {".", "a", "c"}


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "agents").touch()
    with pytest.raises(NotADirectoryError):
        folders_of(tmp_path / "agents")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("", True),
        ("a", True),
        ("a.v2", False),
        ("a/agent.toml", True),
        ("a/mcp.json", True),
        ("a/lib/tools.py", True),
        (".store/c/agent.toml", True),
        ("a/.agent.toml.swp", False),
        ("a/agent.toml~", False),
        ("a/#agent.toml#", False),
        ("a/fleet.db-wal", False),
        ("a/__pycache__/tools.py", False),
    ],
)
def test_a_change_concerns_an_agent_by_its_name(tmp_path: Path, name: str, wanted: bool) -> None:
    assert concerns(tmp_path, str(tmp_path / name)) is wanted


def test_a_folder_concerns_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.v2").mkdir()
    assert concerns(tmp_path, str(tmp_path / "a.v2"))
