"""`atoll services` against a whole daemon, whose vLLM is the stand-in."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.arch.tree import ROOT
from tests.fakes.daemon import eventually, running
from tests.fakes.service_daemon import ServiceDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceDaemon]:
    with running(ServiceDaemon(tmp_path_factory.mktemp("services"))) as daemon:
        yield daemon


def services(daemon: ServiceDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    return daemon.run("services", *words)


def said(daemon: ServiceDaemon, *words: str) -> str:
    done = services(daemon, *words)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    return done.stdout


def test_a_service_from_its_recipe_to_its_end(daemon: ServiceDaemon) -> None:
    assert "atoll services recipes" in services(daemon).stderr
    assert "inference/vllm" in said(daemon, "recipes")
    words = ("start", "inference/vllm", "-e", "VLLM_MODEL=gpt2", "--memory", "2G", "--wait")
    made, name, status = said(daemon, *words).split()
    assert (name, status) == (f"vllm-{made}", "running")
    config = {"environment": {"VLLM_MODEL": "gpt2"}, "resources": {"memory": "2G"}}
    assert daemon.service(made)["config"] == config
    head, line = said(daemon, "list").splitlines()
    assert head.split() == ["ID", "NAME", "STATUS", "ENGINE", "URL", "RESTARTS", "REASON"]
    assert line.split()[:4] == [made, name, "running", "local"]
    assert "running" in said(daemon, "show", name), "its name does as well as its id"
    assert json.loads(said(daemon, "show", made, "--json"))["id"] == made
    assert "Application startup complete" in said(daemon, "logs", made)
    assert said(daemon, "logs", "-n", "0", made) == "=== OUTPUT ===\n"
    assert said(daemon, "restart", made).split()[:2] == [made, name]
    daemon.until(made, "running")
    assert said(daemon, "stop", made) == f"{made}  Service stopped successfully\n"
    shown = said(daemon, "show", made)
    assert "cancelled" in shown
    assert "before    started again by a user while running" in shown
    assert said(daemon, "stop", "--purge", made)
    assert json.loads(said(daemon, "list", "--json")) == []


def test_the_commands_of_the_page_do_what_it_says(daemon: ServiceDaemon) -> None:
    """docs/services.md, in its order; only the id is the one that was made, and nothing follows."""
    page = (ROOT / "docs/services.md").read_text()
    (block,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    name = ""
    for line in block.splitlines():
        words = line.replace("vllm-1b2c3d4e", name).replace(" -f ", " ").split()
        assert words.pop(0) == "atoll"
        done = daemon.run(*words)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        if "start" in words:
            name = done.stdout.split()[1]
    assert daemon.get("/api/v1/services").json() == []


def test_a_group_is_started_and_stopped_as_one(daemon: ServiceDaemon) -> None:
    made = json.loads(said(daemon, "start", "inference/vllm", "--replicas", "2", "--json"))
    assert len(made["replicas"]) == 2
    eventually(lambda: daemon.status(made["id"]) == "running")
    assert said(daemon, "show", made["id"]).count("inference") == 0
    assert len(said(daemon, "show", made["id"]).splitlines()) == 3
    ended = json.loads(said(daemon, "stop", "--purge", "--json", made["id"]))
    assert ended == {made["id"]: "Service stopped successfully"}


def test_one_that_does_not_come_up_fails_with_the_line_that_says_why(
    daemon: ServiceDaemon,
) -> None:
    own = daemon.agents.parent / "recipes"
    own.mkdir(exist_ok=True)
    (own / "never.toml").write_text(
        'name = "never"\nrestart = "never"\n'
        'command = ["sh", "-c", "echo it is broken >&2; exit 3"]\n'
    )
    done = services(daemon, "start", "never", "--wait")
    assert done.returncode == 1
    assert "it is broken" in done.stderr
    made = daemon.get("/api/v1/services").json()[-1]["id"]
    assert f"atoll services logs {made}" in done.stderr
    assert said(daemon, "stop", "--purge", made)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "nope"), 4, "Service not found\n  `atoll services` lists them"),
        (("logs", "-f", "nope"), 4, "Service not found"),
        (("show", "targets"), 4, "Service not found\n  `atoll services` lists them"),
        (("stop", "targets"), 4, "Service not found"),
        (("show", "."), 4, "Service not found"),
        (("logs", "-f", ""), 4, "Service not found"),
        (("logs", "a/../b"), 4, "Service not found"),
        (("stop", "nope"), 4, "Service not found"),
        (("start", "inference/vlm"), 4, "Recipe 'inference/vlm' not found; did you mean"),
        (("start", "inference/vllm", "-e", "X"), 2, "'X' is no NAME=VALUE"),
        (("start", "inference/vllm", "-e", "X=1"), 1, "config.environment: this recipe has no `X`"),
        (("start", "inference/vllm", "--set", "x=1"), 1, "this recipe has no `x`"),
        (("start", "inference/llama-cpp", "-e", "model=x"), 1, "`model` belongs into `config`"),
        (("start", "inference/vllm", "--memory", "900T"), 1, "more than the 2T"),
        (("start", "inference/vllm", "--replicas", "0"), 2, "--replicas"),
        (("stop",), 2, "SERVICE..."),
        (("nope",), 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_exit_code(
    daemon: ServiceDaemon, words: tuple[str, ...], code: int, told: str
) -> None:
    done = services(daemon, *words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    if code != 2:
        problem = json.loads(services(daemon, *words, "--json").stderr)
        assert set(problem) == {"error", "hint"}


def test_a_log_is_followed_until_the_reader_leaves(daemon: ServiceDaemon) -> None:
    made = said(daemon, "start", "inference/vllm", "--wait").split()[0]
    words = (daemon.python, "-m", "atoll_supervisor", "services", "logs", "-f", "-n", "0", made)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env=daemon.environment, cwd=daemon.agents.parent
    ) as reader:
        assert reader.stdout is not None

        def is_read() -> bool:
            daemon.prompt(made)
            assert reader.stdout is not None
            return b"POST /v1/chat/completions" in reader.stdout.readline()

        eventually(is_read)
        reader.terminate()
    assert said(daemon, "stop", "--purge", made)
