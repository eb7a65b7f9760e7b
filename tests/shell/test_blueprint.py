"""What the keeper is asked to start for a unit."""

import sys
from pathlib import Path

import pytest

from atoll.adapters.choose import Choice
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.load import load_manifest
from atoll.config.places import Places
from atoll_supervisor.core.agent_job import decoded
from atoll_supervisor.core.spec import ANY_TIME
from atoll_supervisor.keeper.protocol import Launch
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.drafts import Drafts

CLUSTER = {"SLURM_CONF": "/etc/slurm.conf"}
GIVEN = {"ATOLL_DAEMON_URL": "http://127.0.0.1:8099", "ATOLL_DELEGATION_KEY": "sealing"}
HEAD = '[agent]\nname = "Alpha"\n'


def drafts(folder: Path) -> Drafts:
    places = Places(folder / "state", folder / "run", folder / "data", folder / "config")
    environ = {"PATH": "/bin", "ATOLL_TOKEN": "x", "KEY": "k", "ATOLL_DEFAULT_LLM": "demo"}
    return Drafts(places, environ | GIVEN | CLUSTER)


def agent(folder: Path, text: str = "") -> Blueprint:
    path = folder / "agent.toml"
    path.write_text(HEAD + text)
    loaded = load_manifest(path, {"KEY": "k"})
    choice = Choice(backend="demo", model="demo", why="test")
    return drafts(folder).agent(loaded, choice, LlmDefaults(), "", ())


def launched(blueprint: Blueprint) -> Launch:
    return blueprint.launch(7, "instance", Path("/logs/alpha.log"), 8100)


def test_an_agent_is_forked_with_its_socket_and_knows_who_it_is(tmp_path: Path) -> None:
    made = agent(tmp_path, '[llm]\napi_key_env = "KEY"\n')
    launch = launched(made)
    assert launch.memo == made.spec.checksum
    manifest = str(tmp_path / "agent.toml")
    options = ["--server", "--port", "8100", "--agent", manifest]
    assert launch.argv == [sys.executable, "-m", "atoll", *options]
    assert (launch.unit, launch.generation, launch.via) == ("alpha", 7, "fork")
    assert (launch.log, launch.listen) == ("/logs/alpha.log", True)
    assert (launch.cwd, launch.limits) == (str(tmp_path), {})
    assert launch.env["ATOLL_UNIT"] == "alpha"
    assert launch.env["ATOLL_GENERATION"] == "7"
    assert launch.env["ATOLL_INSTANCE"] == "instance"
    assert launch.env["ATOLL_DEFAULT_LLM"] == "demo"
    assert launch.env["KEY"] == "k"
    assert "ATOLL_TOKEN" not in launch.env
    assert launch.env.items() >= GIVEN.items()


@pytest.mark.parametrize("text", ['[deployment]\nspawn = "exec"\n', "[dependencies]\n"])
def test_what_cannot_share_an_interpreter_is_run_anew(tmp_path: Path, text: str) -> None:
    assert launched(agent(tmp_path, text)).via == "exec"


def test_an_agent_that_is_a_job_has_a_relay_here(tmp_path: Path) -> None:
    text = '[deployment]\nengine = "slurm"\nstart_timeout = 9\n[resources]\npids_limit = 9\n'
    made = agent(tmp_path, text)
    launch = launched(made)
    assert launch.argv[:3] == [sys.executable, "-m", "atoll_supervisor.jobs"]
    order = decoded(launch.argv[3])
    assert (order.slug, order.checksum, order.python) == (
        "alpha",
        made.spec.checksum,
        sys.executable,
    )
    assert order.manifest == str(tmp_path / "agent.toml")
    assert order.folder == str(tmp_path / "state/jobs/alpha")
    assert order.start_timeout == 9
    assert (launch.via, launch.listen, launch.limits) == ("exec", True, {})
    assert launch.env["SLURM_CONF"] == "/etc/slurm.conf"
    assert made.spec.policy.start_timeout == ANY_TIME
    assert made.spec.policy.overlap
    assert "SLURM_CONF" not in launched(agent(tmp_path)).env


def test_an_agent_with_gpus_is_never_there_twice(tmp_path: Path) -> None:
    """The only ones of a cluster cannot be had by the new job while the old one has them."""
    made = agent(tmp_path, '[deployment]\nengine = "slurm"\n[slurm]\ngpu = 1\n')
    assert not made.spec.policy.overlap


def test_limits_are_bytes_processes_and_cores(tmp_path: Path) -> None:
    text = '[resources]\ncpu_limit = 0.5\nmemory_limit = "1GiB"\npids_limit = 9\n'
    assert launched(agent(tmp_path, text)).limits == {"memory": 1024**3, "pids": 9, "cpu": 0.5}


def test_a_model_host_is_run_on_its_own_socket_and_never_beside_another(tmp_path: Path) -> None:
    gguf = tmp_path / "tiny.gguf"
    choice = Choice(backend="local", model="tiny", why="test", gguf=gguf)
    host = drafts(tmp_path).host(choice, gguf)
    launch = host.launch(1, "i", Path("log"), None)
    assert (launch.via, launch.listen, launch.limits) == ("exec", False, {})
    assert "atoll.modelhost" in launch.argv
    assert not GIVEN.keys() & launch.env.keys()  # it calls nobody
    assert not host.needs_port
    assert not host.spec.policy.overlap
