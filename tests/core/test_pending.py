"""What this release does not act on is told, and nothing else is."""

from pathlib import Path

import pytest
from scripts import manifest

from atoll.config.load import load_manifest
from atoll.config.pending import pending
from tests.core.manifests import FULL

ACTED_ON = frozenset(
    {
        "agent.name",
        "agent.version",
        "agent.description",
        "agent.author",
        "agent.license",
        "agent.capabilities",
        "llm.provider",
        "llm.base_url",
        "llm.port",
        "llm.model",
        "llm.api_key_env",
        "llm.system_prompt",
        "llm.temperature",
        "llm.top_p",
        "llm.max_tokens",
        "llm.request_timeout",
        "llm.script",
        "tools.python",
        "tools.execute_code",
        "tools.allow",
        "tools.timeout",
        "tools.max_result_chars",
        "loop.max_steps",
        "mcp_servers.<name>.type",
        "mcp_servers.<name>.command",
        "mcp_servers.<name>.args",
        "mcp_servers.<name>.env",
        "mcp_servers.<name>.env_file",
        "mcp_servers.<name>.cwd",
        "mcp_servers.<name>.url",
        "mcp_servers.<name>.headers",
        "mcp_servers.<name>.timeout_seconds",
        "sub_agents.<name>.url",
        "sub_agents.<name>.agent",
        "sub_agents.<name>.capability",
        "sub_agents.<name>.auth_token_env",
        "sub_agents.<name>.health_check_interval",
        "sub_agents.<name>.name",
        "loop.planning_interval",
        "budget.tokens_per_turn",
        "budget.calls_per_turn",
        "budget.seconds_per_turn",
        "budget.tokens_per_session",
        "server.on_disconnect",
        "sandbox.memory_limit",
        "sandbox.processes",
        "sandbox.time_limit",
        "sandbox.disk_limit",
        "sandbox.output_limit",
        "server.allowed_origins",
        "server.allowed_hosts",
        "session.timeout_minutes",
        "session.concurrency",
        "session.compaction",
        "io.input",
        "io.output",
        "io.signature",
        "io.hand_off",
        "io.hand_off_choices",
        "io.hand_off_threshold",
        "io.hand_off_merge",
        "resources.cpu_limit",
        "resources.memory_limit",
        "resources.pids_limit",
        "resources.max_concurrent_requests",
        "resources.max_queue",
        "deployment.port",
        "deployment.engine",
        "slurm.partition",
        "slurm.account",
        "slurm.qos",
        "slurm.time_limit",
        "slurm.gpu",
        "deployment.spawn",
        "deployment.idle_timeout",
        "deployment.restart",
        "deployment.max_restarts",
        "deployment.restart_window",
        "deployment.restart_delay",
        "deployment.stop_timeout",
        "deployment.start_timeout",
        "deployment.health_check_interval",
    }
)
"""What this release does something with; a new key goes in here or is told."""

HEAD = '[agent]\nname = "X"\n'


def told(folder: Path, text: str, name: str = "agent.toml") -> tuple[str, ...]:
    path = folder / name
    path.write_text(text)
    return pending(load_manifest(path, {}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[sub_agents.a]\nagent = "x"\nmode = "far"', 'sub_agents.a.mode = "far"'),
        (
            '[sub_agents.a]\nagent = "x"\nservice_name = "s"',
            'sub_agents.a.service_name = "s"',
        ),
        ("[dependencies]\npackages = []", "[dependencies]"),
        ("[dependencies]", "[dependencies]"),
        ("[resources]\ntimeout = 9", "resources.timeout = 9"),
    ],
)
def test_a_key_that_waits_for_a_later_release_is_named(
    tmp_path: Path, text: str, words: str
) -> None:
    assert told(tmp_path, f"{HEAD}{text}\n") == (
        f"{words} is set; this release does not act on it yet",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[budget]\ncalls_per_turn = 5\ntokens_per_turn = 9\nseconds_per_turn = 3",
        '[budget]\ntokens_per_session = 5\n[session]\ncompaction = "window"',
        "[tools]\nexecute_code = true\n[sandbox]\nprocesses = 64",
        "[tools]\nexecute_code = false\nallow = []\ntimeout = 3\nmax_result_chars = 500",
        '[llm]\nprovider = "demo"\ntemperature = 1',
        "[loop]\nmax_steps = 3\nplanning_interval = 2",
        '[server]\non_disconnect = "detach"\nallowed_hosts = ["h"]',
        "[server]\non_disconnect = 5",
        '[session]\ntimeout_minutes = 5\nconcurrency = "reject"',
        "[resources]\nmax_concurrent_requests = 2\nmax_queue = 3",
        '[deployment]\nport = 8200\nspawn = "fork"\nengine = "local"\nrestart_delay = 2',
        "[deployment]\nauto_restart = true\nstop_timeout = 3\nidle_timeout = 60",
        '[deployment]\nengine = "slurm"\n[slurm]\npartition = "gpu"\ntime_limit = 60',
        '[resources]\ncpu_limit = 0.5\nmemory_limit = "1GB"\npids_limit = 9',
        '[mcp_servers.a]\ncommand = "x"\nenv = {A = "x"}',
        '[io]\ninput = "a: str"\noutput = "b: str"\nhand_off = "b"',
        '[io]\nhand_off_choices = ["b"]\nhand_off_threshold = 0.7\nhand_off_merge = "add"',
        '[io]\nsignature = "a: str -> b: str"',
        '[sub_agents.a]\nagent = "x"\nname = "X"\nhealth_check_interval = 5',
        '[sub_agents.a]\ncapability = "c"\nmode = "local"',
        '[sub_agents.a]\nurl = "http://127.0.0.1:1"\nauth_token_env = "T"',
    ],
)
def test_what_is_acted_on_is_not_named(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, f"{HEAD}{text}\n") == ()


def test_every_key_is_acted_on_or_told() -> None:
    """Nothing of the schema is silently ignored."""
    silent = {
        key.path
        for key in manifest.every_key()
        if not any(manifest.is_pending(key, value) for value in manifest.samples(key))
    }
    assert silent == ACTED_ON


def test_the_full_example_names_each_table_once(tmp_path: Path) -> None:
    names = [sentence.split(" is set")[0] for sentence in told(tmp_path, FULL)]
    assert names == [
        "[dependencies]",
    ]


def test_the_old_keys_of_a_legacy_manifest_are_named(tmp_path: Path) -> None:
    text = '{"name": "X", "class": "A", "agent": {"module": "m"}}'
    assert told(tmp_path, text, "agent.json") == (
        "module is a key of the old system: nothing is done with it",
        "class is a key of the old system: nothing is done with it",
    )
