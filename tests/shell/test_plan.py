"""From the agents directory to blueprints: what counts as a change, what starts before what."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.config.places import Places
from atoll.errors import ConfigError
from atoll_supervisor.core.events import SpecAccepted
from atoll_supervisor.core.phases import Unit
from atoll_supervisor.core.reconcile import Broken, reconcile
from atoll_supervisor.core.spec import UnitSpec
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.plan import Planner

pytestmark = pytest.mark.anyio

AGENT = """\
[agent]
name = "Alpha"
description = "First."

[llm]
provider = "scripted"
script = "script.toml"

[tools]
python = "tools.py"

[mcp_servers.files]
command = "files"
env_file = "files.env"
env = { KEY = "${SECRET}", OTHER = "x" }

[deployment]
stop_timeout = 5
"""
ENVIRON = {"HOME": "/nowhere", "PATH": "/bin", "SECRET": "hunter2", "NOBODYS": "x"}


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    folder = tmp_path / "agents" / "a"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(AGENT)
    for name in ("script.toml", "tools.py", "helper.py", "files.env"):
        (folder / name).write_text("#")
    (folder / "lib").mkdir()
    (folder / "lib" / "deep.py").write_text("#")
    return tmp_path / "agents"


def planner(
    agents: Path, environ: dict[str, str] | None = None, most: int | None = None
) -> Planner:
    places = Places(*(agents.parent / name for name in ("state", "run", "data", "config")))
    return Planner(agents, most, places, ENVIRON if environ is None else environ, default="demo")


async def look(plan: Planner) -> dict[str, Blueprint | Broken]:
    found = await plan.look(lambda _: None)
    return {item.spec.slug if isinstance(item, Blueprint) else item.slug: item for item in found}


async def spec(plan: Planner, slug: str = "alpha") -> UnitSpec:
    found = (await look(plan))[slug]
    assert isinstance(found, Blueprint), found
    return found.spec


async def problem(plan: Planner, slug: str = "a") -> str:
    found = (await look(plan))[slug]
    assert isinstance(found, Broken), found
    return found.problem


def add(agents: Path, name: str, more: str = "") -> None:
    (agents / name).mkdir()
    (agents / name / "agent.toml").write_text(
        f'[agent]\nname = "{name}"\n{more}\n[llm]\nprovider = "demo"\n'
    )


def sub(old: str, new: str) -> Callable[[Path], None]:
    """A change of the manifest."""

    def change(folder: Path) -> None:
        text = (folder / "agent.toml").read_text()
        assert old in text
        (folder / "agent.toml").write_text(text.replace(old, new, 1))

    return change


def put(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def move(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize(
    "change",
    [
        sub("[llm]", "# a comment\n\n[llm]"),
        sub('name = "Alpha"\ndescription = "First."', 'description = "First."\nname = "Alpha"'),
        sub('{ KEY = "${SECRET}", OTHER = "x" }', '{ OTHER = "x", KEY = "$SECRET" }'),
        sub("[deployment]", "[session]\ntimeout_minutes = 30.0\n[deployment]\nport = 0"),
        sub("[deployment]", '[deployment]\nrestart = "always"'),
        sub("[deployment]", "[deployment]\nmax_restarts = 9\nrestart_window = 9"),
        sub("[deployment]", "[deployment]\nidle_timeout = 9\nhealth_check_interval = 9"),
        sub("[deployment]", "[deployment]\nstart_timeout = 9\nrestart_delay = 9"),
        put("agent.toml", AGENT),
        put("notes.txt", "x"),
        put("fleet.db", "x"),
        put(".hidden.py", "x"),
    ],
)
async def test_what_changes_no_meaning_needs_no_restart(
    agents: Path, change: Callable[[Path], None]
) -> None:
    """Spelling, defaults that are written out, and what only the daemon acts on."""
    plan = planner(agents)
    before = await spec(plan)
    change(agents / "a")
    assert (await spec(plan)).checksum == before.checksum


@pytest.mark.parametrize(
    "change",
    [
        sub("First", "Second"),
        sub("[agent]", '[agent]\nversion = "2"'),
        sub("Alpha", "alpha"),
        sub("[llm]", '[llm]\nsystem_prompt = "Be brief."'),
        sub("stop_timeout = 5", "stop_timeout = 6"),
        sub("[deployment]", "[deployment]\nport = 8123"),
        sub("[deployment]", '[deployment]\nspawn = "exec"'),
        sub("[deployment]", '[resources]\nmemory_limit = "1GB"\n[deployment]'),
        sub("[tools]", "[tools]\ntimeout = 3"),
        sub('OTHER = "x"', 'OTHER = "y"'),
        put("tools.py", "##"),
        put("script.toml", "##"),
        put("files.env", "##"),
        put("mcp.json", "{}"),
        put("helper.py", "##"),
        put("another.py", "##"),
        put("lib/deep.py", "##"),
        drop("tools.py"),
        move,
    ],
)
async def test_whatever_an_agent_runs_with_counts(
    agents: Path, change: Callable[[Path], None]
) -> None:
    """The manifest's meaning and the content of every file that it names."""
    plan = planner(agents)
    before = await spec(plan)
    change(agents / "a")
    assert (await spec(plan)).checksum != before.checksum


async def test_variables_count_when_the_manifest_names_them_and_are_not_shown(agents: Path) -> None:
    """A login's own variables differ each time; a secret goes into a hash only."""
    before = await spec(planner(agents))
    other = await spec(planner(agents, ENVIRON | {"NOBODYS": "y", "PATH": "/usr/bin"}))
    secret = await spec(planner(agents, ENVIRON | {"SECRET": "hunter3"}))
    assert other.checksum == before.checksum
    assert secret.checksum != before.checksum
    assert "hunter2" not in repr(before)


async def test_a_policy_that_changed_is_told_without_a_restart(agents: Path) -> None:
    """The machine restarts only for another checksum; the new specification reaches it."""
    plan = planner(agents)
    before = await spec(plan)
    sub("[deployment]", "[deployment]\nidle_timeout = 9\nhealth_check_interval = 7")(agents / "a")
    after = await spec(plan)
    assert (after.policy.idle_timeout, after.policy.probe_interval) == (9, 7)
    assert after.checksum == before.checksum
    units = {"alpha": Unit(slug="alpha", spec=before)}
    assert reconcile([after], units) == (("alpha", SpecAccepted(after)),)


async def test_a_look_at_what_did_not_change_makes_nothing_new(agents: Path) -> None:
    """The very same objects, once the files are older than a tick of the file system's clock."""
    plan = planner(agents)
    async with asyncio.timeout(30):
        before, first = None, (await look(plan))["alpha"]
        while before is not first:
            await asyncio.sleep(0.1)
            before, first = first, (await look(plan))["alpha"]
    add(agents, "b")
    assert (await look(plan))["alpha"] is first


async def test_an_edit_within_the_same_tick_of_the_clock_is_seen(agents: Path) -> None:
    """Of the same length, many times a second."""
    plan = planner(agents)
    for number in range(100, 150):
        (agents / "a" / "tools.py").write_text(f"x = {number}")
        (agents / "a" / "agent.toml").write_text(AGENT.replace("First.", f"N{number}"))
        found = await spec(plan)
        assert found.card.description == f"N{number}"
        fresh = await spec(planner(agents))
        assert found.checksum == fresh.checksum


async def test_sub_agents_start_first(agents: Path) -> None:
    """By name, whatever its spelling and whether it is there; by capability, all that have it."""
    able = 'capabilities = ["maps"]'
    children = """
[sub_agents.one]
agent = "Able 1:latest"
[sub_agents.two]
agent = "Nobody"
[sub_agents.three]
capability = "maps"
[sub_agents.four]
url = "http://127.0.0.1:9"
"""
    for name, more in (("Able 1", able), ("Able 2", able), ("Parent", able + children)):
        add(agents, name, more)
    plan = planner(agents)
    assert (await spec(plan, "parent")).depends_on == ("able-1", "nobody", "able-2")
    assert (await spec(plan, "able-1")).depends_on == ()
    before = await spec(plan, "parent")
    shutil.rmtree(agents / "Able 2")
    after = await spec(plan, "parent")
    assert after.depends_on == ("able-1", "nobody")
    assert after.checksum == before.checksum


async def test_two_that_depend_on_each_other_are_both_planned(agents: Path) -> None:
    for name, other in (("One", "Two"), ("Two", "One")):
        add(agents, name, f'[sub_agents.x]\nagent = "{other}"')
    plan = planner(agents)
    assert (await spec(plan, "one")).depends_on == ("two",)
    assert (await spec(plan, "two")).depends_on == ("one",)


async def test_a_manifest_that_is_half_written_keeps_its_unit_and_says_where(agents: Path) -> None:
    """The next look mends it (faults.md row 31)."""
    plan = planner(agents)
    good = await spec(plan)
    (agents / "a" / "agent.toml").write_text(AGENT[: len(AGENT) // 2])
    assert "agent.toml:" in await problem(plan)
    (agents / "a" / "agent.toml").write_text("")
    assert "needs" in await problem(plan)
    (agents / "a" / "agent.toml").write_text(AGENT)
    assert await spec(plan) == good


def _fifo(folder: Path) -> None:
    (folder / "agent.toml").unlink()
    os.mkfifo(folder / "agent.toml")


def _directory(folder: Path) -> None:
    (folder / "agent.toml").unlink()
    (folder / "agent.toml").mkdir()


def _link_loop(folder: Path) -> None:
    (folder / "agent.toml").unlink()
    (folder / "agent.toml").symlink_to("agent.toml")


def _folder_loop(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def _outside(folder: Path) -> None:
    folder.rename(folder.parent.parent / "outside")
    folder.symlink_to(folder.parent.parent / "outside")


@pytest.mark.parametrize("change", [_fifo, _directory, _link_loop, _folder_loop, _outside])
async def test_what_is_no_readable_manifest_is_told_and_takes_nobody_along(
    agents: Path, change: Callable[[Path], None]
) -> None:
    """Each in the place of a manifest that was good; none is waited for (faults.md row 31)."""
    add(agents, "other")
    plan = planner(agents)
    await look(plan)
    change(agents / "a")
    found = await look(plan)
    assert isinstance(found["other"], Blueprint)
    assert sum(isinstance(item, Broken) for item in found.values()) == 1


async def test_a_fifo_in_the_place_of_a_named_file_is_not_waited_for(agents: Path) -> None:
    (agents / "a" / "tools.py").unlink()
    os.mkfifo(agents / "a" / "tools.py")
    assert (await spec(planner(agents))).slug == "alpha"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads whatever its mode")
async def test_a_manifest_that_may_not_be_read_is_told(agents: Path) -> None:
    plan = planner(agents)
    (agents / "a" / "agent.toml").chmod(0)
    assert "Permission denied" in await problem(plan)


async def test_a_manifest_that_is_gone_or_renamed_takes_its_unit_along(agents: Path) -> None:
    plan = planner(agents)
    await look(plan)
    (agents / "a" / "agent.toml").rename(agents / "a" / "agent.toml.off")
    assert await look(plan) == {}


async def test_a_legacy_manifest_steps_in_and_back(agents: Path) -> None:
    """agent.json counts while there is no agent.toml; its sibling mcp.json with it."""
    plan = planner(agents)
    (agents / "a" / "agent.json").write_text('{"agent": {"name": "Alpha"}}')
    toml = await spec(plan)
    (agents / "a" / "agent.toml").unlink()
    legacy = await spec(plan)
    assert legacy.config_path.endswith("agent.json")
    (agents / "a" / "mcp.json").write_text('{"servers": {"x": {"command": "x"}}}')
    assert (await spec(plan)).checksum != legacy.checksum
    (agents / "a" / "agent.toml").write_text(AGENT)
    (agents / "a" / "mcp.json").unlink()
    assert await spec(plan) == toml


async def test_a_folder_that_is_replaced_at_once_is_read_anew(agents: Path) -> None:
    """By rename, with files of the same size and times."""
    plan = planner(agents)
    before = await spec(plan)
    shutil.copytree(agents / "a", agents.parent / "new")
    (agents.parent / "new" / "agent.toml").write_text(AGENT.replace("First", "Third"))
    (agents / "a").rename(agents.parent / "old")
    (agents.parent / "new").rename(agents / "a")
    assert (await spec(plan)).card.description == "Third."
    shutil.rmtree(agents / "a")
    (agents.parent / "old").rename(agents / "a")
    assert await spec(plan) == before


async def test_a_directory_that_is_missing_is_an_error_until_it_is_there(tmp_path: Path) -> None:
    """Everything stays as it is meanwhile: a disk that is not mounted stops nobody."""
    plan = planner(tmp_path / "agents")
    with pytest.raises(ConfigError, match="cannot read the folder of agents"):
        await look(plan)
    (tmp_path / "agents").mkdir()
    add(tmp_path / "agents", "one")
    assert list(await look(plan)) == ["one"]


async def test_a_full_fleet_refuses_the_rest(agents: Path) -> None:
    add(agents, "b")
    found = await look(planner(agents, most=1))
    assert isinstance(found["alpha"], Blueprint)
    assert "max_agents is 1" in await problem(planner(agents, most=1), "b")


async def test_a_model_that_was_chosen_stays_though_ollama_would_name_another(agents: Path) -> None:
    """An Ollama is asked once: one that is away for a moment restarts nobody."""
    add(agents, "b")
    sub('provider = "demo"', 'base_url = "http://127.0.0.1:9"')(agents / "b")
    plan = planner(agents)
    first = await spec(plan, "b")
    assert (first.card.backend, first.card.model) == ("ollama", "")
    sub('name = "b"', 'name = "B"')(agents / "b")
    assert (await spec(plan, "b")).card == first.card


async def test_a_look_after_a_look_is_no_news_for_the_fleet(agents: Path) -> None:
    plan = planner(agents)
    first = await spec(plan)
    units = {"alpha": Unit(slug="alpha", spec=first)}
    assert reconcile([await spec(plan)], units) == ()
