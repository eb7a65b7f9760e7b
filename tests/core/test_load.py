"""Manifests: what loads, and where and in which words every mistake is told."""

import gc
import hashlib
import json
import os
import re
import time
from pathlib import Path

import pytest

from atoll.config.document import MAX_BYTES
from atoll.config.legacy import read_mcp_json, read_ollama_config
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.load import Loaded, load_manifest
from atoll.config.manifest import Deployment, SubAgent
from atoll.errors import ConfigError, Problem
from tests.core.manifests import FULL

HEAD = '[agent]\nname = "X"\n'


def load(folder: Path, text: str | bytes, name: str = "agent.toml", **environ: str) -> Loaded:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_manifest(path, environ)


def problems(folder: Path, text: str | bytes, name: str = "agent.toml") -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, name)
    return caught.value.problems


# What follows HEAD -> line, column, words of the message or hint. Line 3 is the first after it.
BAD = [
    ("nmae = 1", 3, 1, "unknown key `nmae` in [agent]"),
    ("nmae = 1", 3, 1, "did you mean `name`?"),
    ("[lmm]", 3, 2, "unknown key `lmm` at the top level"),
    ("[lmm]", 3, 2, "did you mean `llm`?"),
    ("[llm]\ntemprature = 0.2", 4, 1, "did you mean `temperature`?"),
    ('[llm]\napi_key = "sk-1"', 4, 1, "did you mean `api_key_env`?"),
    ('[llm]\nqqqq = "x"', 4, 1, "known keys: api_key_env, base_url"),
    ('model = "m"', 3, 1, "it belongs under [llm]"),
    ("[budget]\ntimeout = 1", 4, 1, "it belongs under [tools] or [resources]"),
    ("llm = 3", 3, 1, "unknown key `llm` in [agent]"),
    ("version = 1", 3, 11, "`agent.version`: expected a string, got 1"),
    ("version = 1979-05-27", 3, 11, "got a date or time"),
    ('capabilities = "a"', 3, 16, 'expected an array of strings, got "a"'),
    ('capabilities = ["a", 2]', 3, 22, "`agent.capabilities[1]`: expected a string, got 2"),
    ("capabilities = [[]]", 3, 17, "expected a string, got an array"),
    ('[llm]\ntemperature = "hot"', 4, 15, 'a number from 0 to 2, got "hot"'),
    ("[llm]\ntemperature = true", 4, 15, "a number from 0 to 2, got true"),
    ("[llm]\ntemperature = 2.5", 4, 15, "a number from 0 to 2, got 2.5"),
    ("[llm]\ntemperature = nan", 4, 15, "a number from 0 to 2, got nan"),
    ("[llm]\nrequest_timeout = inf", 4, 19, "a number greater than 0, up to 1000000000, got inf"),
    ("[llm]\nrequest_timeout = 0", 4, 19, "greater than 0"),
    ("[llm]\nmax_tokens = 1.5", 4, 14, "a whole number from -1 to 1000000000000, got 1.5"),
    ('[llm]\nprovider = "olama"', 4, 12, "expected `demo`, `local`, `ollama`, `openai` or"),
    ('[llm]\nprovider = "olama"', 4, 12, "did you mean `ollama`?"),
    ('[llm]\nprovider = "scripted"', 4, 12, "needs the key `script`"),
    ('[llm]\nbase_url = "localhost:11434"', 4, 12, "begins with http:// or https://"),
    ('[llm]\nbase_url = "http://ex ample"', 4, 12, "a URL without spaces"),
    ('[llm]\nbase_url = "http://h\\tx"', 4, 12, "a URL without spaces and control characters"),
    ('[llm]\nbase_url = "http://[bad"', 4, 12, "a URL with a host and at most a port"),
    ('[llm]\nbase_url = "http://h:99999"', 4, 12, "at most a port up to 65535"),
    ('[llm]\nbase_url = "http://:9999"', 4, 12, "a URL with a host"),
    ('[llm]\nbase_url = "http://h:0"', 4, 12, "no port 0"),
    ('[llm]\napi_key_env = "sk-or-v1"', 4, 15, "the name of an environment variable"),
    ("[llm]\nport = 0", 4, 8, "a port from 1 to 65535"),
    ("[[llm]]\nmodel = 1", 3, 3, "`llm`: expected a table, got an array"),
    ("[deployment]\nport = 22", 4, 8, "port 22 is privileged; expected 0 (automatic)"),
    ("[deployment]\nport = 99999", 4, 8, "0 (automatic) or a port from 1024 to 65535, got 99999"),
    ("[deployment]\nport = -1", 4, 8, "a port from 1024 to 65535, got -1"),
    ('[deployment]\nport = "abc"', 4, 8, 'a port from 1024 to 65535, got "abc"'),
    ('[deployment]\nport = "8100;rm"', 4, 8, 'a port from 1024 to 65535, got "8100;rm"'),
    ("[deployment]\nport = true", 4, 8, "a port from 1024 to 65535, got true"),
    ("[deployment]\nmax_restarts = -1", 4, 16, "from 0 to"),
    ("[resources]\nhealth_check_interval = 0", 4, 25, "`resources.health_check_interval`: exp"),
    (
        "[resources]\nhealth_check_interval = 1\n[deployment]\nhealth_check_interval = 2",
        4,
        1,
        "says the same as `deployment.health_check_interval`",
    ),
    ("[deployment]\nrestart_window = 0", 4, 18, "greater than 0"),
    ('[deployment]\nauto_restart = "yes"', 4, 16, "`deployment.auto_restart`: expected true or"),
    ('[deployment]\nauto_restart = true\nrestart = "never"', 4, 1, "says the same as another"),
    ('[deployment]\nengine = "k8s"', 4, 10, "expected `local` or `slurm`"),
    ('[server]\non_disconnect = "later"', 4, 17, "`cancel` or `detach` or a number from 0"),
    ("[resources]\nmemory_limit = 512", 4, 16, 'a size such as "512MB" or "4GB", got 512'),
    ('[resources]\nmemory_limit = "lots"', 4, 16, 'a size such as "512MB"'),
    ('[resources]\nmemory_limit = "0MB"', 4, 16, 'a size such as "512MB" or "4GB", got "0MB"'),
    ("[resources]\nmax_queue = 99999999999999", 4, 13, "from 0 to 1000000000000"),
    ('[tools]\npython = "${NOWHERE}/t.py"', 4, 10, "the variable NOWHERE is not set"),
    ('[tools]\npython = "$NOWHERE"', 4, 10, "write $$ for a dollar"),
    ('[tools]\npython = "${a-b}"', 4, 10, "`${` is not followed by a variable's name"),
    ('[tools]\npython = "a\\u0000b"', 4, 10, "NUL"),
    (
        "[mcp_servers.a]",
        3,
        2,
        "[mcp_servers.a]: an MCP server of type `stdio` needs the key `command`",
    ),
    ('[mcp_servers.a]\ntransport = "sse"', 3, 2, "type `sse` needs the key `url`"),
    (
        '[mcp_servers.a]\ntransport = "tcp"\ncommand = "x"',
        4,
        13,
        "`mcp_servers.a.transport`: exp",
    ),
    ('[mcp_servers.a]\ncommand = "sh -c"', 4, 11, "its arguments stand in `args"),
    ('[mcp_servers.a]\ncommand = "./x"', 4, 11, "a program on PATH, or an absolute path"),
    ('[mcp_servers.a]\ncommand = "x"\ncwd = "../.."', 5, 7, "lead out of the agent's folder"),
    ('[mcp_servers.a]\ncommand = "x"\nenv = {LD_PRELOAD = "y"}', 5, 8, "would change what code"),
    (
        '[mcp_servers.a]\ncommand = "x"\ntimeoutSeconds = 0',
        5,
        18,
        "`mcp_servers.a.timeoutSeconds`: exp",
    ),
    (
        '[mcp_servers.a]\ncommand = "x"\ntimeout = 1\ntimeoutSeconds = 2',
        6,
        1,
        "keep `timeout_seconds`",
    ),
    ('[mcp_servers."a/b"]\ncommand = "x"', 3, 2, "the name of a table must not hold path"),
    ("mcp_servers.a = 1", 3, 1, "unknown key `mcp_servers` in [agent]"),
    ('[sub_agents.h]\nurl = "http://h"\nagent = "h"', 3, 2, "has url and agent"),
    ("[sub_agents.h]", 3, 2, "needs exactly one of `url`, `agent`, `capability`; has none"),
    ('[sub_agents.h]\nagent = "h"\nauth_token = "s3cret"', 5, 1, 'auth_token_env = "CHILD_TOKEN"'),
    ('[sub_agents.h]\nurl = "ftp://h"', 4, 7, "begins with http:// or https://"),
    ('[sub_agents.h]\nurl = "javascript:alert(1)"', 4, 7, "begins with http:// or https://"),
    ('[sub_agents.h]\nurl = "file:///etc/passwd"', 4, 7, "begins with http:// or https://"),
    ('[sub_agents.h]\nurl = "http://u:HUSH@h"', 4, 7, "without a password"),
    ("[agent]", 3, 7, "is not valid TOML: cannot declare"),
    ("name = 1", 3, 9, "is not valid TOML: cannot overwrite a value"),
    ('author = "me', 3, 13, "is not valid TOML: illegal character"),
    ("[llm", 3, 5, "is not valid TOML: expected ']'"),
    ('[llm]\nsystem_prompt = """\nBe kind.', 4, 17, "is not valid TOML: unterminated string"),
    ("[llm]\nmodel = '''x\n\"\"\"\n[io]", 4, 9, "is not valid TOML: expected"),
    ('[llm]\nmodel = "m"\n"""', 5, 3, "is not valid TOML"),
    ("x = " + "9" * 5000, 3, 5, "a number of more than 100 characters"),
    ("x = " + "[" * 600, 3, 26, "more than 20 brackets inside each other"),
    ("a" + ".b" * 9000 + " = 1", 3, 1, "a key of more than 8 parts"),
    ("x = {a = {" + "b." * 9000 + "c = 1}}", 3, 11, "a key of more than 8 parts"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), BAD)
def test_a_mistake_is_told_with_its_place_and_what_is_expected(
    tmp_path: Path, text: str, line: int, column: int, words: str
) -> None:
    found = problems(tmp_path, HEAD + text + "\n")
    told = [f"{problem.where}: {problem.message} {problem.hint}" for problem in found]
    assert any(one.startswith(f"agent.toml:{line}:{column}: ") and words in one for one in told), (
        told
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "needs [agent]"),
        ("\ufeff" + HEAD, 1, 1, "byte order mark"),
        (b'[agent]\nname = "\xc3\xa4\xff"\n', 2, 10, "is not UTF-8 text"),
        ('[agent]\nversion = "1"\n', 1, 2, "[agent] needs the key `name`"),
        ('[agent]\nname = "../x"\n', 2, 8, "path separators"),
        ('[agent]\nname = "a\\u0000b"\n', 2, 8, "control characters"),
        ('[agent]\nname = "\\u001b[31m"\n', 2, 8, "control characters"),
        (f'[agent]\nname = "{"n" * 300}"\n', 2, 8, "300 characters long"),
        ('[agent]\nname = ""\n', 2, 8, "at least one letter or digit"),
        ('agent.name = "!"\n', 1, 14, "at least one letter or digit"),
        ('agent = {name = "X", x = 1}\n', 1, 22, "unknown key `x`"),
        ('[agent]\r\nname = "X"\r\nnmae = 1\r\n', 3, 1, "unknown key `nmae`"),
        ('[agent]\nname = "X"\n"\\u001b[2J" = 1\n', 3, 1, r"unknown key `\x1b[2J`"),
        ("[agent]\nname = '''X\n'''\nnmae = 1\n", 4, 1, "unknown key `nmae`"),
    ],
)
def test_a_mistake_at_the_top_of_the_file(
    tmp_path: Path, text: str | bytes, line: int, column: int, words: str
) -> None:
    told = [(p.line, p.column, p.message) for p in problems(tmp_path, text)]
    assert any(one[:2] == (line, column) and words in one[2] for one in told), told


def test_every_mistake_is_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = HEAD + '[llm]\ntop_p = 7\nmodle = "m"\n[io]\ninput = 1\n[deployment]\nport = 22\n'
    assert [p.line for p in problems(tmp_path, text)] == [4, 5, 7, 9]


def test_a_caret_stands_under_the_place(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, HEAD + "\n[llm]\ntemperature = 9\n")
    assert problem.excerpt == "  5 | temperature = 9\n    |               ^"
    assert str(problem).splitlines()[0].startswith("agent.toml:5:15: `llm.temperature`: expected")


def test_a_long_line_is_shown_around_the_place(tmp_path: Path) -> None:
    items = ", ".join(['"aaaaaaaa"'] * 300)
    (problem,) = problems(tmp_path, f"{HEAD}capabilities = [{items}, 7]\n")
    line, caret = problem.excerpt.splitlines()
    assert len(line) < 120
    assert line[caret.index("^")] == "7"


@pytest.mark.parametrize(
    "text",
    [
        '[llm]\napi_key = "HUSH"',
        '[llm]\napi_key_env = "sk-HUSH"',
        '[llm]\nbase_url = "//me:HUSH@host"',
        '[llm]\npassword = "HUSH',
        "[llm]\nsecret = HUSH",
        '[sub_agents.h]\nagent = "h"\nauth_token = "HUSH"',
        '[sub_agents.h]\nagent = "h"\nauth_token = ["HUSH"]',
        '[mcp_servers.a]\ncommand = "x"\nenv = {A = "HUSH", B = 1}',
        '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nA = "HUSH',
        '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nA = "HUSH${NOT_SET}"',
        '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nA = "x" HUSH',
        '[mcp_servers.a]\nurl = 1\nheaders = {X = """\nHUSH""", Y = 2}',
        '[mcp_servers.a]\ncommand = 3\nargs = ["--token",\n"HUSH", 3]',
        '[mcp_servers]\na = {command = 1, env = {A = "HUSH"}}',
        '[mcp_servers.a]\ncommand = "x"\nargs = ["-p", "HUSH", 3]',
        '[mcp_servers.a]\ncommand = "x"\nargs = ["-p",\n"HUSH", "${NOT_SET}"]',
        '[mcp_servers.a]\ncommand = "x -p HUSH"',
        '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nA = """\nHUSH',
        "[llm]\nmodel = 1 # sk-proj-HUSH",
        "[llm]\nmodel = ghp_HUSHHUSH",
        "[llm]\nmodel = 1 # 0123456789abcdef0123456789abcdefHUSH",
    ],
)
def test_what_could_be_a_secret_is_never_shown(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, HEAD + text + "\n")
    assert "HUSH" not in str(ConfigError(*found))


def test_a_value_out_of_the_environment_is_never_shown(tmp_path: Path) -> None:
    text = HEAD + '[llm]\nprovider = "${WHAT}"\n[resources]\nmemory_limit = "$WHAT"\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, WHAT="HUSH")
    assert [problem.line for problem in caught.value.problems] == [4, 6]
    assert "HUSH" not in str(caught.value)


def test_a_line_after_a_secret_is_shown(tmp_path: Path) -> None:
    text = HEAD + '[llm]\napi_key_env = "K"\nmax_tokens = "many"\n'
    (problem,) = problems(tmp_path, text)
    assert 'max_tokens = "many"' in problem.excerpt


BOMBS = [
    "a = " + "[" * 60_000,
    "a = " + "{a=" * 20_000,
    "a" + ".a" * 30_000 + " = 1",
    "[" + "a." * 30_000 + "a]",
    "a = {" + "a." * 30_000 + "a = 1}",
    "\n".join(f"a{n}{'.b' * 7} = 1" for n in range(2_000)),
    "\n".join(f"k{n} = 1" for n in range(6_000)),
    HEAD + "capabilities = [" + "1," * 30_000 + "]",
    HEAD + "[mcp_servers.a]\nargs = [" + '"$A",' * 10_000 + "]",
    HEAD + "[mcp_servers.a.env]\n" + "\n".join(f"K{n} = 1" for n in range(4_000)),
    "\n".join(f"[mcp_servers.a{n}]" for n in range(2_800)),
    '"' + "\\" * 60_000,
    '"""' + '""\\"' * 15_000,
    "x = " + "9" * 60_000,
    "x = " + "'" * 60_000,
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_a_bomb_is_refused_quickly_and_in_few_words(tmp_path: Path, text: str) -> None:
    """100 ms is the goal of attacks.md S17; the bound here leaves room for a busy machine."""
    assert len(text) <= MAX_BYTES
    gc.collect()  # what other tests left is not this one's work
    start = time.process_time()
    found = problems(tmp_path, text)
    assert time.process_time() - start < 0.4
    assert 0 < len(found) <= 101
    assert len(str(ConfigError(*found))) < 60_000


def test_a_manifest_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, HEAD + "#" * MAX_BYTES)
    assert "at most 65536" in problem.message
    assert (problem.line, problem.where) == (0, "agent.toml")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    for name, words in (("fifo.toml", "regular"), ("", "regular"), ("no.toml", "No such file")):
        with pytest.raises(ConfigError, match=words):
            load_manifest(tmp_path / name, {})


def test_the_full_example_of_the_design_loads(tmp_path: Path) -> None:
    loaded = load(tmp_path, FULL)
    manifest = loaded.manifest
    assert manifest.agent.name == "GhidraAgent"
    assert manifest.llm.temperature == 0.2
    assert manifest.deployment == Deployment(max_restarts=5)
    assert manifest.mcp_servers["files"].command == "mcp-server-files"
    assert loaded.checksum == hashlib.sha256(FULL.encode()).hexdigest()
    assert loaded.path == tmp_path / "agent.toml"
    assert loaded.variables == {"OPENROUTER_API_KEY"}
    assert {"llm.temperature", "mcp_servers.files.command", "server.on_disconnect"} <= loaded.given
    assert "llm.top_p" not in loaded.given


def test_a_name_is_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, HEAD)
    assert loaded.given == {"agent.name"}
    assert loaded.manifest.deployment == Deployment()


def test_a_usual_manifest_loads_in_few_milliseconds(tmp_path: Path) -> None:
    """The goal is 5 ms; the best of several runs is what the code costs."""
    load(tmp_path, FULL)

    def once() -> float:
        start = time.process_time()
        load(tmp_path, FULL)
        return time.process_time() - start

    assert min(once() for _ in range(10)) < 0.005


def test_prompts_may_hold_whatever_prose_holds(tmp_path: Path) -> None:
    prompt = "Wait" + "." * 40 + " [[[[[[[[[[[[[[[[[[[[[[[[[ costs $USD, = {{"
    text = HEAD + f'[llm]\nsystem_prompt = """\n{prompt}\n"""\n# {"[" * 40}{"." * 40}\n'
    assert load(tmp_path, text).manifest.llm.system_prompt == prompt + "\n"


def test_variables_are_put_into_strings(tmp_path: Path) -> None:
    text = (
        HEAD
        + '[llm]\nmodel = "${M}:$T"\nbase_url = "$U"\nsystem_prompt = "Be ${M}, not $M"\n'
        + '[tools]\nallow = ["$T", "$$T"]\n[mcp_servers.a]\ncommand = "c"\nenv = {K = "${T}"}\n'
    )
    loaded = load(tmp_path, text, M="smol", T="135m", U="http://h")
    llm = loaded.manifest.llm
    assert (llm.model, llm.base_url) == ("smol:135m", "http://h")
    assert llm.system_prompt == "Be smol, not $M"
    assert loaded.manifest.tools.allow == ("135m", "$T")
    assert loaded.manifest.mcp_servers["a"].env == {"K": "135m"}
    assert loaded.variables == {"M", "T", "U"}


def test_bytes_of_the_environment_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the variable M is not UTF-8 text"):
        load(tmp_path, HEAD + '[llm]\nmodel = "$M"\n', M=os.fsdecode(b"\xff"))


def test_the_source_systems_spellings_load(tmp_path: Path) -> None:
    text = HEAD + (
        "[resources]\ntimeout = 60\nmax_concurrent_requests = 4\nhealth_check_interval = 9\n"
        "[deployment]\nauto_restart = false\nmax_restarts = 3\nrestart_delay = 5\n"
        '[mcp_servers.a]\ntransport = "stdio"\ncommand = "a"\ntimeout = 60\nenvFile = ".env"\n'
        '[mcp_servers.b]\ntype = "http"\nurl = "https://b"\ntimeoutSeconds = 7\n'
        '[sub_agents.c]\nurl = "http://c"\nauth_token = "${C_TOKEN}"\nmode = "local"\n'
    )
    loaded = load(tmp_path, text)
    manifest = loaded.manifest
    assert (manifest.deployment.restart, manifest.deployment.restart_delay) == ("never", 5)
    assert manifest.resources.max_concurrent_requests == 4
    assert manifest.deployment.health_check_interval == 9
    assert manifest.mcp_servers["a"].env_file == ".env"
    servers = manifest.mcp_servers.values()
    assert [(s.type, s.timeout_seconds) for s in servers] == [("stdio", 60), ("http", 7)]
    assert manifest.sub_agents["c"] == SubAgent(url="http://c", auth_token_env="C_TOKEN")
    assert loaded.variables == {"C_TOKEN"}
    assert {"deployment.restart", "mcp_servers.a.timeout_seconds"} <= loaded.given


def legacy(**keys: object) -> str:
    return json.dumps(keys, indent=1)


def test_a_legacy_manifest_loads_with_its_name_in_either_place(tmp_path: Path) -> None:
    flat = load(tmp_path, legacy(name="Old", version="2", author=None), "agent.json")
    nested = load(tmp_path, legacy(agent={"name": "Old", "version": "2"}), "agent.json")
    both = load(tmp_path, legacy(name="Old", version="2", agent=None), "agent.json")
    assert flat.manifest == nested.manifest == both.manifest
    assert flat.given == nested.given == {"agent.name", "agent.version"}


def test_old_keys_of_a_legacy_manifest_are_noted(tmp_path: Path) -> None:
    text = legacy(name="Old", module="a.py", **{"class": "A"}, supported_mcp_servers=["x"])
    assert {"module", "class", "supported_mcp_servers"} < load(tmp_path, text, "agent.json").given


def test_a_legacy_manifest_brings_its_mcp_servers(tmp_path: Path) -> None:
    servers = {"x": {"transport": "stdio", "command": "$CMD", "timeout": 5}}
    (tmp_path / "mcp.json").write_text(legacy(servers=servers, inputs=[]))
    loaded = load(tmp_path, legacy(name="Old"), "agent.json", CMD="prog")
    assert loaded.manifest.mcp_servers["x"].command == "prog"
    assert "mcp_servers.x.command" in loaded.given
    assert loaded.variables == {"CMD"}
    assert read_mcp_json(tmp_path / "mcp.json", {"CMD": "prog"}) == loaded.manifest.mcp_servers


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('{"name": "x"', "agent.json:1:13", "not valid JSON: input data was truncated"),
        ('{"name" "x"}', "agent.json:1:9", "not valid JSON: expected ':'"),
        ('{\n "name": "a/b"\n}', "agent.json:2:10", "`name`: the name must not hold path"),
        ('{"name": "x",\n "versoin": 1}', "agent.json:2:2", "unknown key `versoin`"),
        ('{"name": "x",\n "agent": {"name": "y"}}', "agent.json:1:2", "differ"),
        ('{"name": "x",\n "llm": {"top_p": 3}}', "agent.json:2:19", "a number from 0 to 1"),
        ("[]", "agent.json:1:1", "must be a JSON object"),
        ("{}", "agent.json:1:1", "[agent] needs the key `name`"),
        ('{"agent": 3}', "agent.json:1:11", "expected a table, got 3"),
        ('{"name": "x", "capabilities": [null]}', "agent.json:1:32", "a string, got null"),
        ('{"name": NaN}', "agent.json:1:10", "not valid JSON"),
        ('{"name": 1e999}', "agent.json:1:16", "not valid JSON"),
        ('{"x": ' + "[" * 5000, "agent.json:1:27", "brackets"),
    ],
)
def test_a_mistake_in_a_legacy_manifest_has_its_place(
    tmp_path: Path, text: str, where: str, words: str
) -> None:
    told = [(p.where, p.message) for p in problems(tmp_path, text, "agent.json")]
    assert any(one[0] == where and words in one[1] for one in told), told


def test_mistakes_of_both_legacy_files_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"servers":\n {"x": {"timeout": 0}}}')
    found = problems(tmp_path, '{"name": "x", "a": 1}', "agent.json")
    assert [p.where for p in found] == ["agent.json:1:15", "mcp.json:2:3", "mcp.json:2:20"]


def test_an_mcp_file_with_another_key_is_told_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {}}')
    (problem,) = problems(tmp_path, '{"name": "x"}', "agent.json")
    assert (problem.where, problem.message) == ("mcp.json:1:1", "needs [servers]")
    assert '{"servers": {' in problem.hint


def test_the_ollama_configuration_is_read(tmp_path: Path) -> None:
    assert read_ollama_config(tmp_path) == LlmDefaults()
    folder = tmp_path / ".ollama_server"
    folder.mkdir()
    file = folder / ".ollama_config.json"
    file.write_text(legacy(base_url="http://localhost", port=11434, model="llama2", theme="dark"))
    found = read_ollama_config(tmp_path)
    assert (found.base_url, found.port, found.model) == ("http://localhost", 11434, "llama2")
    assert found.temperature is None


@pytest.mark.parametrize(
    ("text", "where"),
    [('{\n"port": }', ":2:9"), ('{"port":\n "x"}', ":2:2"), ('{"temperature": 9}', ":1:17")],
)
def test_a_broken_ollama_configuration_has_a_place(tmp_path: Path, text: str, where: str) -> None:
    folder = tmp_path / ".ollama_server"
    folder.mkdir()
    (folder / ".ollama_config.json").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f".ollama_config.json{where}: ")):
        read_ollama_config(tmp_path)
