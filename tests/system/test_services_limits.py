"""What a request may ask for: a recipe's limits and this machine hold, through API and command."""

from collections.abc import Iterator

import pytest

from tests.fakes.daemon import running
from tests.fakes.service_daemon import ServiceDaemon

SERVER = 'command = ["vllm", "serve", "gpt2", "--host", "{host}", "--port", "{port}"]'
RECIPES = {
    "lim.toml": f"""name = "lim"
{SERVER}
[resources]
memory = "100M"
time_limit = 1
[limits]
cpu = 1
memory = "200M"
time_limit = 2
""",
    "free.toml": f'name = "free"\n{SERVER}\n',
    "huge.yaml": "name: huge\nimage: huge.sif\nresources:\n  memory: 900T\n",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceDaemon]:
    home = tmp_path_factory.mktemp("limits")
    (home / "recipes").mkdir()
    for name, text in RECIPES.items():
        (home / "recipes" / name).write_text(text)
    with running(ServiceDaemon(home)) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("recipe", "resources", "told"),
    [
        ("lim", {"memory": "201M"}, "memory: 201M is more than the 200M that this recipe allows"),
        ("lim", {"cpu": 2, "memory": None}, "cpu: 2 is more than the 1 that this recipe allows"),
        ("lim", {"time_limit": 3}, "time_limit: 3 is more than the 2 that this recipe allows"),
        ("lim", {"memory": None, "cpu": None, "time_limit": 0}, "which is more than the 2 that"),
        ("lim", {"memory": 0}, "memory: '0' is not a size above 0"),
        ("free", {"memory": "64T"}, "memory: 64T is asked for, and this machine has "),
        ("free", {"cpu": 99999}, "cpu: 99999 is asked for, and this machine has "),
        ("free", {"gpu": "999"}, "gpu: 999 are asked for, and this machine has "),
        ("free", {"nodes": 2}, "nodes: 2 are asked for, and this machine is 1"),
        ("huge", {}, "memory: 900T is asked for, and this machine has "),
    ],
)
def test_what_cannot_be_had_is_400_and_leaves_no_service(
    daemon: ServiceDaemon, recipe: str, resources: dict[str, object], told: str
) -> None:
    body = {"recipe_name": recipe, "engine": "local", "config": {"resources": resources}}
    answer = daemon.ask("POST", "/api/v1/services", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("config.resources.")
    assert told in answer.json()["detail"]
    assert daemon.get("/api/v1/services").json() == []


def test_the_command_line_is_held_to_the_limits_too(daemon: ServiceDaemon) -> None:
    done = daemon.run("services", "start", "lim", "--time-limit", "0")
    assert done.returncode != 0
    assert "0 means without limit, which is more than the 2 that" in done.stderr
    done = daemon.run("services", "start", "free", "--cpu", "99999")
    assert "cpu: 99999 is asked for" in done.stderr
    assert daemon.get("/api/v1/services").json() == []


def test_what_is_no_model_server_is_asked_for_nothing(daemon: ServiceDaemon) -> None:
    """By either route the same words, whether it runs or not."""
    made = daemon.create("free")
    answers = [daemon.prompt(made["id"]), daemon.get(f"/api/v1/vllm/{made['id']}/models")]
    daemon.until(made["id"], "running")
    answers += [daemon.prompt(made["id"]), daemon.get(f"/api/v1/vllm/{made['id']}/models")]
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
    assert [one.status_code for one in answers] == [400] * 4
    told = f"{made['name']} is no model server: its recipe names no api"
    assert {one.json()["detail"] for one in answers} == {told}


def test_the_command_line_tells_what_a_machine_lacks(daemon: ServiceDaemon) -> None:
    gpus = int("none" not in daemon.ask("POST", "/api/v1/services", MANY).json()["detail"])
    done = daemon.run("services", "start", "free", "--gpu", "1")
    assert done.returncode == 0, done.stderr
    assert ("warning: config.resources.gpu: 1 is asked for" in done.stderr) == (not gpus)
    made = done.stdout.split()[0]
    assert ("warning" in daemon.run("services", "show", made).stdout) == (not gpus)
    daemon.ask("DELETE", f"/api/v1/services/{made}?purge=true")


MANY = {"recipe_name": "free", "config": {"resources": {"gpu": 999}}}
