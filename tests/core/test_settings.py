"""The daemon's settings: which source wins, where each value came from, what is refused."""

import json
from pathlib import Path

import pytest

from atoll.config.loopback import is_loopback
from atoll.errors import ConfigError
from atoll_supervisor.settings import Settings, read_settings


class Machine:
    """A working directory and a home directory with the files a test wants."""

    def __init__(self, root: Path) -> None:
        self.cwd, self.home = root / "work", root / "home"
        self.project = self.cwd / "atoll.toml"
        self.user = self.home / ".config/atoll/config.toml"
        self.servers = self.home / ".atoll/deployment_servers.json"
        self.old = self.home / ".atoll/atoll.json"
        for file in (self.project, self.user, self.old):
            file.parent.mkdir(parents=True, exist_ok=True)

    def settings(self, *, flags: dict[str, object] | None = None, **environ: str) -> Settings:
        return read_settings(flags or {}, environ, self.cwd, self.home)

    def refused(self, *, flags: dict[str, object] | None = None, **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.settings(flags=flags, **environ)
        return str(caught.value)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_defaults_are_the_documented_ones(machine: Machine) -> None:
    assert machine.settings() == Settings(
        agents_dir=machine.cwd / "atoll_agents", recipes_dir=machine.cwd / "recipes"
    )
    assert Settings().host == "127.0.0.1"
    assert (Settings().api_port, Settings().base_port, Settings().auth) == (8099, 8100, "token")


def test_a_stronger_source_wins_and_is_named(machine: Machine) -> None:
    """Flag > variable > project file > user file > the source system's files > default."""
    sources = [
        (machine.old, '{"agents_directory": "/old"}'),
        (machine.servers, '{"agents_directory": "/servers"}'),
        (machine.user, '[daemon]\nagents_dir = "/user"\n'),
        (machine.project, '[daemon]\nagents_dir = "/project"\n'),
    ]
    for file, text in sources:
        file.write_text(text)
        found = machine.settings()
        assert f'"{found.agents_dir}"' in text
        assert found.origins == {"agents_dir": str(file)}
    found = machine.settings(ATOLL_AGENTS_DIR="/variable")
    assert found.agents_dir == Path("/variable")
    assert found.origins == {"agents_dir": "ATOLL_AGENTS_DIR"}
    found = machine.settings(flags={"agents_dir": Path("/flag")}, ATOLL_AGENTS_DIR="/variable")
    assert found.agents_dir == Path("/flag")
    assert found.origins == {"agents_dir": "--agents-dir"}


def test_every_key_can_be_a_variable(machine: Machine) -> None:
    found = machine.settings(
        ATOLL_AGENTS_DIR="agents",
        ATOLL_RECIPES_DIR="/recipes",
        ATOLL_HOST="::1",
        ATOLL_API_PORT="9001",
        ATOLL_BASE_PORT="9100",
        ATOLL_STATE_DIR="~/state",
        ATOLL_AUTH="none",
        ATOLL_MAX_AGENTS="7",
        ATOLL_SLURM_REST="/run/slurmrestd.socket",
        ATOLL_ALLOWED_HOSTS="a, b",
        ATOLL_ALLOWED_ORIGINS="https://a",
    )
    assert found == Settings(
        agents_dir=machine.cwd / "agents",
        recipes_dir=Path("/recipes"),
        host="::1",
        api_port=9001,
        base_port=9100,
        state_dir=machine.home / "state",
        auth="none",
        max_agents=7,
        slurm_rest=Path("/run/slurmrestd.socket"),
        allowed_hosts=("a", "b"),
        allowed_origins=("https://a",),
        origins=found.origins,
    )
    assert found.origins["max_agents"] == "ATOLL_MAX_AGENTS"


def test_an_empty_variable_and_an_absent_flag_say_nothing(machine: Machine) -> None:
    assert machine.settings(flags={"host": None}, ATOLL_HOST="").origins == {}


def test_relative_paths_start_where_their_source_is(machine: Machine) -> None:
    machine.project.write_text('[daemon]\nagents_dir = "a"\n')
    machine.user.write_text('[daemon]\nstate_dir = "s"\n')
    found = machine.settings()
    assert found.agents_dir == machine.cwd / "a"
    assert found.state_dir == machine.user.parent / "s"
    assert machine.settings(flags={"state_dir": "~"}).state_dir == machine.home


def test_the_user_file_is_found_by_xdg(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "atoll").mkdir()
    (tmp_path / "atoll/config.toml").write_text("[daemon]\nmax_agents = 3\n")
    assert machine.settings(XDG_CONFIG_HOME=str(tmp_path)).max_agents == 3
    assert machine.settings(XDG_CONFIG_HOME="relative").max_agents is None


@pytest.mark.parametrize("nested", [False, True])
def test_the_source_systems_file_is_read_flat_and_nested(machine: Machine, nested: bool) -> None:
    table = {
        "enabled": True,
        "host": "localhost",
        "api_port": 8080,
        "base_port": 8200,
        "max_agents": 10,
        "agents_directory": None,
        "restart_on_failure": True,
        "remote_servers": [],
    }
    machine.servers.write_text(json.dumps({"deployment_server": table} if nested else table))
    found = machine.settings()
    assert (found.host, found.api_port, found.base_port) == ("127.0.0.1", 8080, 8200)
    assert found.max_agents == 10
    assert found.agents_dir == machine.cwd / "atoll_agents"
    assert set(found.origins) == {"host", "api_port", "base_port", "max_agents"}


def test_the_source_systems_own_defaults_do_not_count(machine: Machine) -> None:
    machine.servers.write_text('{"base_port": 8300}')
    found = machine.settings()
    assert (found.api_port, found.base_port) == (8099, 8300)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ATOLL_API_PORT": "abc"}, 'ATOLL_API_PORT: "abc" is not a port (1024-65535)'),
        ({"ATOLL_API_PORT": "22"}, 'ATOLL_API_PORT: "22" is not a port (1024-65535)'),
        ({"ATOLL_BASE_PORT": "65536"}, 'ATOLL_BASE_PORT: "65536" is not a port (1024-65535)'),
        ({"ATOLL_BASE_PORT": "9" * 5000}, "is not a port (1024-65535)"),
        ({"ATOLL_BASE_PORT": "-1"}, '"-1" is not a port'),
        ({"ATOLL_MAX_AGENTS": "0"}, 'ATOLL_MAX_AGENTS: "0" is not a whole number of 1 or more'),
        ({"ATOLL_AUTH": "off"}, 'ATOLL_AUTH: "off" is not "token" or "none"'),
        ({"ATOLL_HOST": "a b"}, 'ATOLL_HOST: "a b" is not an address or a host name'),
    ],
)
def test_a_bad_variable_is_told_by_its_name(
    machine: Machine, environ: dict[str, str], words: str
) -> None:
    assert words in machine.refused(**environ)


def test_every_bad_value_is_told_even_when_a_stronger_source_hides_it(machine: Machine) -> None:
    machine.project.write_text('[daemon]\napi_port = true\nauth = "off"\n')
    said = machine.refused(flags={"api_port": 1}, ATOLL_API_PORT="x")
    assert "--api-port: 1 is not a port" in said
    assert 'ATOLL_API_PORT: "x"' in said
    assert "atoll.toml:2:12: `daemon.api_port`: true is not a port" in said
    assert 'atoll.toml:3:8: `daemon.auth`: "off" is not' in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[daemon]\nprot = 1\n", "atoll.toml:2:1: unknown key `prot`"),
        ("[daemon]\napi_prot = 1\n", "did you mean `api_port`?"),
        ("[demon]\n", "did you mean `daemon`?"),
        ("daemon = 1\n", "expected a table: [daemon]"),
        ("[daemon\n", "atoll.toml:1:8: is not valid TOML"),
        ("[daemon]\nallowed_hosts = [1]\n", "atoll.toml:2:17: "),
        ("[daemon]\nagents_dir = 3\n", "3 is not a path"),
        ("[daemon]\napi_port = 8099.0\n", "8099.0 is not a port"),
    ],
)
def test_a_mistake_in_a_file_has_its_place(machine: Machine, text: str, words: str) -> None:
    machine.project.write_text(text)
    assert words in machine.refused()


def test_a_mistake_in_the_source_systems_file_has_its_place(machine: Machine) -> None:
    machine.servers.write_text('{"deployment_server":\n {"base_port": "x"}}')
    assert f'{machine.servers}:2:16: `deployment_server.base_port`: "x"' in machine.refused()
    machine.servers.write_text('{"base_port": 1')
    assert f"{machine.servers}:1:16: is not valid JSON" in machine.refused()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_a_bind_beyond_loopback_needs_a_token(machine: Machine, host: str) -> None:
    said = machine.refused(flags={"host": host, "auth": "none"})
    assert "--host" in said
    assert "a bind address other than loopback needs a token" in said
    assert "drop --auth none, or use --host 127.0.0.1" in said
    assert machine.settings(flags={"host": host}).host == host
    said = machine.refused(ATOLL_HOST=host, ATOLL_AUTH="none")
    assert said.startswith(f"ATOLL_HOST: {host}: ")
    assert 'drop auth "none" of ATOLL_AUTH, or use' in said


@pytest.mark.parametrize(("given", "host"), [("LocalHost", "127.0.0.1"), ("[::1]", "::1")])
def test_an_address_can_be_bound_as_it_is_read(machine: Machine, given: str, host: str) -> None:
    assert machine.settings(ATOLL_HOST=given).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost", "a.localhost"])
def test_loopback_needs_none(machine: Machine, host: str) -> None:
    assert is_loopback(host)
    assert machine.settings(flags={"host": host, "auth": "none"}).auth == "none"
