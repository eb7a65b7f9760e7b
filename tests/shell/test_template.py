"""The template as a real process: what its agents are, what it refuses, and how it ends."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from atoll.http.sockets import bind
from tests.fakes.forking import LIMIT, MARK, ROOT, Template, request_for, template
from tests.fakes.upstream import (
    ollama_chat,
    ollama_end,
    ollama_line,
    streamed,
    upstream_in_thread,
    whole,
)

TOOLS = """
import json, os, sys
from pathlib import Path

HERE = Path(__file__).parent
SEEN = {"env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "path": sys.path[0]}
(HERE / "seen.json").write_text(json.dumps(SEEN))


def modules() -> str:
    "What is imported."
    (HERE / "modules.json").write_text(json.dumps(sorted(sys.modules)))
    return "written"
"""
SCRIPT = """
[[turn]]
match = "modules"
[[turn.call]]
name = "modules"

[[turn]]
match = "modules"
text = "done"

[[turn]]
text = "Hello from the script"
"""
SCRIPTED = '[agent]\nname = "Speaker"\n[llm]\nprovider = "scripted"\nscript = "script.toml"\n'
PRELOADED = """
import json, runpy, sys
from atoll.template import __main__, command
command._prepare()
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Template]:
    with template() as running:
        yield running


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(SCRIPTED + '[tools]\npython = "tools.py"\n')
    (tmp_path / "script.toml").write_text(SCRIPT)
    (tmp_path / "tools.py").write_text(TOOLS)
    return path


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as sock:
        yield sock


def chat(port: int, path: str, text: str, *, stream: bool) -> str:
    body = {"model": "speaker", "messages": [{"role": "user", "content": text}], "stream": stream}
    answer = requests.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=LIMIT)
    assert answer.status_code == 200, answer.text
    return answer.text


def status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:"))


def test_it_is_one_thread_that_holds_nothing_but_the_control_socket(made: Template) -> None:
    pid = made.process.pid
    assert made.hello["ready"] == 1
    assert made.hello["pid"] == pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    assert {path.name for path in Path(f"/proc/{pid}/fd").iterdir()} <= {"0", "1", "2", "3"}


def test_a_forked_agent_serves_and_is_our_child(
    made: Template, manifest: Path, held: socket.socket
) -> None:
    agent = made.fork(manifest, held=held)
    assert agent.channel.recv(500) == b"READY=1\n"
    assert agent.channel.recv(500).startswith(b"WATCHDOG=1\nIN_FLIGHT=0\nLAG_MS=0\nACTIVE=0.000\n")
    health = requests.get(f"http://127.0.0.1:{agent.port}/health", timeout=LIMIT).json()
    assert (health["pid"], health["instance_id"]) == (agent.pid, "token")
    assert status(agent.pid, "PPid") == str(os.getpid())
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.wait() == 0


def test_it_is_as_if_it_had_been_executed(
    made: Template, manifest: Path, held: socket.socket
) -> None:
    agent = made.fork(manifest, held=held)
    assert agent.channel.recv(500) == b"READY=1\n"
    seen = json.loads((manifest.parent / "seen.json").read_text())
    request = request_for(manifest, agent.port, listening=True)
    taken = {"ATOLL_CHANNEL_FD", "LISTEN_FDS"}
    assert seen["env"] == {k: v for k, v in request["env"].items() if k not in taken}
    assert (seen["cwd"], seen["path"]) == (str(manifest.parent), str(manifest.parent))
    assert seen["argv"][1:] == request["argv"][2:]
    assert os.getsid(agent.pid) == agent.pid
    assert resource.prlimit(agent.pid, resource.RLIMIT_RTTIME)[0] == MARK
    assert int(status(agent.pid, "SigBlk"), 16) == 0
    executed = subprocess.run(
        [sys.executable, "-c", "print(open('/proc/self/status').read())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"SigIgn:\t{status(agent.pid, 'SigIgn')}\n" in executed


def test_it_holds_its_own_descriptors_and_no_others(
    made: Template, manifest: Path, held: socket.socket
) -> None:
    agent = made.fork(manifest, held=held)
    assert agent.channel.recv(500) == b"READY=1\n"
    folder = Path(f"/proc/{agent.pid}/fd")
    links = {path.name: str(path.readlink()) for path in folder.iterdir()}
    assert links["0"] == "/dev/null"
    assert links["1"] == links["2"]
    assert links["1"].startswith("pipe:")
    assert links["3"] == f"socket:[{os.fstat(held.fileno()).st_ino}]"
    templates = {str(Path(f"/proc/{made.process.pid}/fd/{n}").readlink()) for n in (2, 3)}
    assert not templates & set(links.values())


def test_the_lists_of_processes_show_the_agent(
    made: Template, manifest: Path, held: socket.socket
) -> None:
    agent = made.fork(manifest, held=held)
    assert agent.channel.recv(500) == b"READY=1\n"
    shown = Path(f"/proc/{agent.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    expected = f"-m atoll --server --port {agent.port} --agent {manifest}"
    # The room is what the template's own arguments and environment take up.
    arguments = shown.partition(" ")[2]
    assert len(arguments) > 40
    assert expected.startswith(arguments)
    assert Path(f"/proc/{agent.pid}/comm").read_text().strip() == "speaker"


@pytest.fixture(scope="module")
def preloaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED],
        env={"PYTHONPATH": str(ROOT / "agent_runtime"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
        close_fds=True,
    )
    return set(json.loads(done.stdout))


def test_nothing_is_imported_between_the_fork_and_the_first_answers(
    made: Template, manifest: Path, held: socket.socket, preloaded: set[str]
) -> None:
    agent = made.fork(manifest, held=held)
    url = f"http://127.0.0.1:{agent.port}"
    for path in ("/health", "/api/tags", "/v1/models", "/"):
        assert requests.get(f"{url}{path}", timeout=LIMIT).ok
    for path in ("/api/chat", "/v1/chat/completions"):
        assert "Hello" in chat(agent.port, path, "hi", stream=False)
        assert "Hello" in chat(agent.port, path, "hi", stream=True)
    chat(agent.port, "/api/chat", "modules", stream=False)
    seen = set(json.loads((manifest.parent / "modules.json").read_text()))
    own = {name for name in seen if name.startswith("atoll_tools_")}
    assert len(own) == 1
    assert sorted(seen - own - preloaded) == []


def test_nothing_is_imported_for_an_agent_over_ollama_either(
    made: Template, manifest: Path, held: socket.socket, preloaded: set[str]
) -> None:
    with upstream_in_thread() as upstream:
        upstream.on("/api/show", whole({"capabilities": ["completion", "tools"]}))
        call = {"function": {"name": "modules", "arguments": {}}}
        calling = streamed([ollama_line("", tool_calls=[call]), ollama_end()])
        upstream.on("/api/chat", calling, ollama_chat("done"))
        manifest.write_text(
            f'[agent]\nname = "Speaker"\n[llm]\nprovider = "ollama"\nmodel = "tiny"\n'
            f'base_url = "{upstream.url}"\n[tools]\npython = "tools.py"\n'
        )
        agent = made.fork(manifest, held=held)
        chat(agent.port, "/api/chat", "modules", stream=True)
    seen = set(json.loads((manifest.parent / "modules.json").read_text()))
    own = {name for name in seen if name.startswith("atoll_tools_")}
    assert sorted(seen - own - preloaded) == []


def test_what_cannot_be_forked_is_answered_and_the_template_goes_on(
    made: Template, manifest: Path
) -> None:
    with pytest.raises(RuntimeError, match="only `python -m atoll` can be forked, not '-m http"):
        made.fork(manifest, argv=["-m", "http.server"])
    with pytest.raises(RuntimeError, match="the folder /nowhere cannot be entered"):
        made.fork(manifest, cwd="/nowhere")
    few = json.dumps(request_for(manifest, 0, listening=False)).encode()
    assert "descriptors came with it" in str(made.ask(few, [2]))
    assert made.ask(few, [2])["id"] == 7
    assert "no request can be read" in str(made.ask(b"{", [2, 2, 2])["error"])
    assert "no request can be read" in str(made.ask(b'{"id": 1}', [2, 2, 2])["error"])
    assert "too many descriptors" in str(made.ask(few, [2] * 9)["error"])
    folder = Path(f"/proc/{made.process.pid}/fd")
    assert {path.name for path in folder.iterdir()} <= {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"argv": ["-m", "atoll", "--server", "--prot", "1"]}, 2, "unrecognized arguments"),
        ({"argv": ["-m", "atoll", "--server", "--agent", "no.toml", "--port", "0"]}, 5, "no.toml"),
        ({"keeper": 1}, 1, ""),
    ],
)
def test_a_start_that_fails_has_its_own_code_and_words(
    made: Template, manifest: Path, changes: dict[str, object], code: int, words: str
) -> None:
    agent = made.fork(manifest, **changes)
    assert agent.wait() == code
    said = agent.words()
    assert words in said
    assert "Traceback" not in said


def test_an_agent_without_a_socket_binds_its_own(made: Template, manifest: Path) -> None:
    agent = made.fork(manifest)
    assert agent.channel.recv(500) == b"READY=1\n"


def test_agents_outlive_their_template_which_ends_with_its_socket(
    manifest: Path, held: socket.socket
) -> None:
    with template() as made:
        agent = made.fork(manifest, held=held)
        assert agent.channel.recv(500) == b"READY=1\n"
        made.control.close()
        assert made.process.wait(LIMIT) == 0
        assert "Hello" in chat(agent.port, "/api/chat", "hi", stream=False)


def test_ctrl_c_leaves_the_template_alone(made: Template, manifest: Path) -> None:
    os.kill(made.process.pid, signal.SIGINT)
    agent = made.fork(manifest)
    assert agent.channel.recv(500) == b"READY=1\n"
    os.kill(agent.pid, signal.SIGINT)
    assert agent.wait() == 0


def test_a_strange_descriptor_is_refused_in_words() -> None:
    reading, writing = os.pipe()
    try:
        with template(writing) as made:
            assert "it holds pipe:[" in str(made.hello["error"])
            assert made.process.wait(LIMIT) == 1
    finally:
        os.close(reading)
        os.close(writing)


def test_agents_die_with_their_keeper(manifest: Path) -> None:
    """The keeper is killed where it can say nothing to anybody."""
    keeper = (
        "import sys\nfrom pathlib import Path\nfrom tests.fakes.forking import template\n"
        "with template() as made:\n"
        "    agent = made.fork(Path(sys.argv[1]))\n"
        "    agent.channel.recv(500)\n"
        "    print(agent.pid, made.process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", keeper, str(manifest)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/agent_runtime", "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
        until = time.monotonic() + LIMIT
        while any(alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(0.02)
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        return status(pid, "State")[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
