"""Every client example of MeluXina's page, with only host and port changed.

vLLM is `tests/fakes/vllm_serve.py`, a stand-in that speaks its command line and
its API; everything else is as the page has it, the daemon started with
`--auth none` because the page's clients show no token.
"""

import subprocess
import sys
from collections.abc import Iterator
from shutil import which

import httpx
import pytest

from atoll_supervisor.shell.services.here import this_machine
from tests.fakes.daemon import PLAIN, eventually, running
from tests.fakes.service_daemon import ServiceDaemon, data_of

PYTHON = """
import requests

server = "http://mel2106:8001"

# Create service
response = requests.post(
    f"{server}/api/v1/services",
    json={
        "recipe_name": "inference/vllm",
        "config": {
            "environment": {"VLLM_MODEL": "gpt2"}
        }
    }
)
service = response.json()
service_id = service["id"]

# Wait for service to be ready
import time
while True:
    status = requests.get(f"{server}/api/v1/services/{service_id}/status").json()
    if status["status"] == "running":
        break
    time.sleep(5)

# Send prompt
response = requests.post(
    f"{server}/api/v1/vllm/{service_id}/prompt",
    json={"prompt": "Hello, world!"}
)
print(response.json()["response"])
"""

BASH = r"""#!/bin/bash
SERVER="http://mel2106:8001"

# Create service
SERVICE_ID=$(curl -s -X POST "${SERVER}/api/v1/services" \
  -H "Content-Type: application/json" \
  -d '{"recipe_name": "inference/vllm"}' \
  | jq -r '.id')

echo "Created service: $SERVICE_ID"

# Wait for running status
while true; do
  STATUS=$(curl -s "${SERVER}/api/v1/services/${SERVICE_ID}/status" | jq -r '.status')
  echo "Status: $STATUS"
  [[ "$STATUS" == "running" ]] && break
  sleep 5
done

# Send prompt
curl -X POST "${SERVER}/api/v1/vllm/${SERVICE_ID}/prompt" \
  -H "Content-Type: application/json" \
  -d '{"prompt": "Hello!"}'
"""

CURL = r"""curl -X POST "http://mel2106:8001/api/v1/services" \
  -H "Content-Type: application/json" \
  -d '{"recipe_name": "inference/vllm"}'
"""

CREATE = {
    "recipe_name": "inference/vllm",
    "config": {
        "environment": {"VLLM_MODEL": "Qwen/Qwen2.5-0.5B-Instruct", "VLLM_MAX_MODEL_LEN": "2048"},
        "resources": {"cpu": "8", "memory": "32G", "gpu": "1", "time_limit": 60},
    },
}
STATES = {"pending", "building", "starting", "running", "completed", "failed", "cancelled"}


@pytest.fixture(scope="module")
def meluxina(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceDaemon]:
    with running(ServiceDaemon(tmp_path_factory.mktemp("meluxina"), "--auth", "none")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def service(meluxina: ServiceDaemon) -> str:
    """A service that runs."""
    made = meluxina.create()
    meluxina.until(made["id"], "running")
    return str(made["id"])


def run(meluxina: ServiceDaemon, script: str, *program: str) -> str:
    here = script.replace("http://mel2106:8001", meluxina.url)
    done = subprocess.run([*program, here], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_ends_with_the_models_words(meluxina: ServiceDaemon) -> None:
    """gpt2 has no chat template, so that the answer came by the completions endpoint."""
    assert run(meluxina, PYTHON, sys.executable, "-c") == "Hello, world! and so on\n"


@pytest.mark.skipif(not (which("curl") and which("jq")), reason="wants the packages curl and jq")
def test_the_bash_example_ends_with_the_models_words(meluxina: ServiceDaemon) -> None:
    printed = run(meluxina, BASH, "bash", "-c")
    assert "Status: running" in printed
    assert '"response":"You said: Hello!"' in printed


@pytest.mark.skipif(not which("curl"), reason="wants the package curl")
def test_the_curl_example_makes_a_service(meluxina: ServiceDaemon) -> None:
    assert '"name":"vllm-' in run(meluxina, CURL, "bash", "-c")


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_health_is_as_on_the_page(meluxina: ServiceDaemon, path: str) -> None:
    body = meluxina.get(path).raise_for_status().json()
    assert body["status"] == "healthy"
    assert body["version"]


def test_a_service_is_made_with_201_and_the_pages_fields(meluxina: ServiceDaemon) -> None:
    answer = meluxina.ask("POST", "/api/v1/services", CREATE)
    assert answer.status_code == 201
    body = answer.json()
    meluxina.ask("DELETE", f"/api/v1/services/{body['id']}")
    assert body["name"] == f"vllm-{body['id']}"
    assert body["recipe_name"] == "inference/vllm"
    assert body["status"] == "pending"
    assert body["config"] == CREATE["config"]
    assert body["created_at"]


def test_the_list_is_an_array_of_services(meluxina: ServiceDaemon, service: str) -> None:
    rows = meluxina.get("/api/v1/services").json()
    row = next(row for row in rows if row["id"] == service)
    assert {"id", "name", "recipe_name", "status"} < set(row)
    assert {row["status"] for row in rows} <= STATES
    assert service in [row["id"] for row in meluxina.get("/api/v1/vllm/services").json()]


def test_the_status_has_the_pages_fields(meluxina: ServiceDaemon, service: str) -> None:
    body = meluxina.get(f"/api/v1/services/{service}/status").json()
    assert body["status"] == "running"
    assert body["job_id"] == service
    assert {"slurm_state", "node"} < set(body)


def test_a_prompt_is_answered_with_the_pages_fields(meluxina: ServiceDaemon, service: str) -> None:
    body = {
        "prompt": "Explain quantum computing in simple terms.",
        "max_tokens": 100,
        "temperature": 0.7,
    }
    answer = meluxina.ask("POST", f"/api/v1/vllm/{service}/prompt", body).json()
    assert answer["response"] == "You said: Explain quantum computing in simple terms."
    assert answer["model"] == "Qwen/Qwen2.5-0.5B-Instruct"
    assert answer["tokens_used"] == 9
    assert (answer["success"], answer["endpoint_used"]) == (True, "chat")
    models = meluxina.get(f"/api/v1/vllm/{service}/models").json()
    assert models["models"] == ["Qwen/Qwen2.5-0.5B-Instruct"]


def test_stopping_answers_as_on_the_page(meluxina: ServiceDaemon) -> None:
    made = meluxina.create()
    answer = meluxina.ask("DELETE", f"/api/v1/services/{made['id']}")
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "Service stopped successfully",
        "job_id": made["id"],
    }
    assert meluxina.status(made["id"]) == "cancelled"
    purged = meluxina.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
    assert purged.status_code == 200
    assert meluxina.get(f"/api/v1/services/{made['id']}").status_code == 404
    assert not data_of(meluxina, made["id"]).exists()


def test_a_service_that_still_starts_is_503_with_the_pages_body(meluxina: ServiceDaemon) -> None:
    """MX5: the status code tells it as well as the body (DESIGN section 11)."""
    made = meluxina.create(config={"environment": {"VLLM_MODEL": "slow"}})
    meluxina.until(made["id"], "starting")
    answer = meluxina.prompt(made["id"])
    body = answer.json()
    assert answer.status_code == 503
    assert body["error"] == "Service not available"
    assert body["message"] == ("The service may still be starting up. Please wait and try again.")
    assert f":{meluxina.service(made['id'])['port']}" in body["details"]
    assert (body["success"], body["status"], body["service_id"]) == (
        False,
        "starting",
        made["id"],
    )
    assert meluxina.get(f"/api/v1/vllm/{made['id']}/models").status_code == 503
    (data_of(meluxina, made["id"]) / "go").touch()
    meluxina.until(made["id"], "running")
    assert meluxina.prompt(made["id"]).status_code == 200


def test_an_unknown_recipe_is_told_in_the_pages_words(meluxina: ServiceDaemon) -> None:
    answer = meluxina.ask("POST", "/api/v1/services", {"recipe_name": "invalid/recipe"})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Recipe 'invalid/recipe' not found"
    assert meluxina.get("/api/v1/recipes/invalid/recipe").json() == answer.json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/services/3614523"),
        ("GET", "/api/v1/services/3614523/status"),
        ("GET", "/api/v1/services/3614523/logs"),
        ("GET", "/api/v1/services/sg-1"),
        ("DELETE", "/api/v1/services/3614523"),
        ("GET", "/api/v1/vllm/3614523/models"),
    ],
)
def test_an_unknown_service_is_told_in_the_pages_words(
    meluxina: ServiceDaemon, method: str, path: str
) -> None:
    answer = meluxina.ask(method, path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Service not found"


def test_recipes_are_listed_and_shown_by_their_path(meluxina: ServiceDaemon) -> None:
    paths = [row["path"] for row in meluxina.get("/api/v1/recipes").json()]
    assert "inference/vllm" in paths
    shown = meluxina.get("/api/v1/recipes/inference/vllm").json()
    assert (shown["name"], shown["category"]) == ("vllm", "inference")
    assert "VLLM_MODEL" in shown["parameters"]


def test_logs_can_be_cut_and_followed(meluxina: ServiceDaemon, service: str) -> None:
    """MX4."""
    logs = f"/api/v1/services/{service}/logs"
    whole = meluxina.get(logs).json()["logs"]
    assert "Application startup complete" in whole
    assert meluxina.get(f"{logs}?tail=1").json()["logs"].count("\n") < whole.count("\n")
    url = f"{meluxina.url}{logs}?follow=true&tail=0"
    with httpx.stream("GET", url, timeout=20, verify=PLAIN) as lines:
        meluxina.prompt(service)
        assert any("/v1/chat/completions" in line for line in lines.iter_lines())


@pytest.mark.parametrize("purge", ["false", "true"])
def test_a_log_that_is_followed_ends_with_its_service(meluxina: ServiceDaemon, purge: str) -> None:
    made = meluxina.create()
    url = f"{meluxina.url}/api/v1/services/{made['id']}"
    with httpx.stream("GET", f"{url}/logs?follow=true", timeout=20, verify=PLAIN) as followed:
        lines = followed.iter_lines()
        next(line for line in lines if "startup complete" in line)
        httpx.delete(f"{url}?purge={purge}", timeout=20, verify=PLAIN).raise_for_status()
        assert len(list(lines)) < 1000, "it has an end"


def test_nothing_of_the_daemons_environment_reaches_a_service(
    meluxina: ServiceDaemon, service: str
) -> None:
    line = meluxina.get(f"/api/v1/services/{service}/logs").json()["logs"]
    names = line.partition("environment: ")[2].partition("\n")[0].split(",")
    ours = {name for name in names if name.startswith("ATOLL_")}
    assert ours <= {
        "ATOLL_CHANNEL_FD",
        "ATOLL_GENERATION",
        "ATOLL_INSTANCE",
        "ATOLL_SUPERVISED",
        "ATOLL_UNIT",
    }
    shells = {"LC_CTYPE", "PWD", "_", "SHLVL"}
    assert set(names) - ours - shells == {"HOME", "PATH", "VLLM_API_KEY", "VLLM_NO_USAGE_STATS"}


def test_metrics_hold_ours_and_the_servers_own(meluxina: ServiceDaemon, service: str) -> None:
    text = meluxina.get(f"/api/v1/services/{service}/metrics").text
    assert f'atoll_service_status{{service="vllm-{service}",recipe="inference/vllm"}} 2' in text
    assert "vllm:num_requests_running 0.0" in text


def test_prometheus_finds_every_service_that_runs(meluxina: ServiceDaemon, service: str) -> None:
    """The source system's route and labels; what is found there is scraped as it says."""
    slow = meluxina.create(config={"environment": {"VLLM_MODEL": "slow"}})
    meluxina.until(slow["id"], "starting")
    answer = meluxina.get("/api/v1/services/targets")
    assert answer.headers["content-type"].startswith("application/json")
    found = {row["labels"]["service_id"]: row for row in answer.json()}
    assert slow["id"] not in found
    labels = found[service]["labels"]
    assert (labels["job"], labels["recipe_name"]) == (f"service-{service}", "inference/vllm")
    (target,) = found[service]["targets"]
    metrics = httpx.get(f"http://{target}{labels['__metrics_path__']}", verify=PLAIN)
    assert f'atoll_service_status{{service="{labels["instance"]}"' in metrics.text
    meluxina.ask("DELETE", f"/api/v1/services/{slow['id']}?purge=true")


def test_replicas_are_a_group_whose_members_are_asked_in_turn(meluxina: ServiceDaemon) -> None:
    group = meluxina.create(replicas=2)
    assert group["id"] == group["group_id"]
    eventually(
        lambda: (
            [row["status"] for row in meluxina.service(group["id"])["replicas"]] == ["running"] * 2
        )
    )
    answers = [meluxina.prompt(group["id"]).json()["service_id"] for _ in range(4)]
    assert answers[:2] == answers[2:]
    assert len(set(answers)) == 2
    assert meluxina.status(group["id"]) == "running"
    assert [row["id"] for row in meluxina.get("/api/v1/service-groups").json()] == [group["id"]]
    meluxina.ask("DELETE", f"/api/v1/services/{group['id']}")
    assert meluxina.status(group["id"]) == "cancelled"


def test_a_servers_own_address_wants_its_key(meluxina: ServiceDaemon, service: str) -> None:
    given = meluxina.get(f"/api/v1/services/{service}/endpoint").json()
    url = f"{given['url']}/v1/models"
    assert httpx.get(url, verify=PLAIN).status_code == 401
    headers = {"Authorization": f"Bearer {given['api_key']}"}
    assert httpx.get(url, headers=headers, verify=PLAIN).status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "recipe_name"),
        ({"recipe_name": 5}, "recipe_name"),
        ({"recipe_name": "inference/vllm", "command": ["id"]}, "command"),
        ({"recipe_name": "inference/vllm", "replicas": 0}, "replicas"),
        ({"recipe_name": "inference/vllm", "replicas": 10**9}, "replicas"),
        ({"recipe_name": "inference/vllm", "engine": "kubernetes"}, "engine"),
        ({"recipe_name": "inference/vllm", "config": {"command": "id"}}, "command"),
        (
            {"recipe_name": "inference/vllm", "config": {"resources": {"memory": "900T"}}},
            "memory: 900T is more than the 2T that this recipe allows",
        ),
        (
            {"recipe_name": "inference/vllm", "config": {"resources": {"memory": "2T"}}},
            "config.resources.memory: 2T is asked for, and this machine has ",
        ),
        (
            {"recipe_name": "inference/vllm", "replicas": 2, "config": {"resources": {"gpu": 16}}},
            "config.resources.gpu: 16 are asked for, and this machine has ",
        ),
        (
            {"recipe_name": "inference/vllm", "config": {"environment": {"LD_PRELOAD": "x"}}},
            "LD_PRELOAD",
        ),
        (
            {"recipe_name": "inference/vllm", "config": {"environment": {"VLLM_MODEL": "-x"}}},
            "VLLM_MODEL",
        ),
        (
            {"recipe_name": "inference/vllm", "config": {"environment": {"VLLM_API_KEY": "x"}}},
            "`VLLM_API_KEY` is the recipe's to set",
        ),
        (
            {"recipe_name": "inference/llama-cpp", "config": {"model": "not-pulled"}},
            "atoll pull",
        ),
    ],
)
def test_a_bad_request_is_400_and_starts_nothing(
    meluxina: ServiceDaemon, body: dict[str, object], told: str
) -> None:
    before = len(meluxina.get("/api/v1/services").json())
    answer = meluxina.ask("POST", "/api/v1/services", body)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["detail"]
    assert len(meluxina.get("/api/v1/services").json()) == before


@pytest.mark.parametrize(
    "recipe", ["../../etc/passwd", "inference/../../x", "/etc/passwd", "..", "inference/vllm.toml"]
)
def test_a_recipe_name_cannot_leave_the_folder(meluxina: ServiceDaemon, recipe: str) -> None:
    answer = meluxina.ask("POST", "/api/v1/services", {"recipe_name": recipe})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Recipe '")


def test_what_this_machine_lacks_is_told_and_not_passed_over(meluxina: ServiceDaemon) -> None:
    """The page's own request is for a node of its cluster, and must work everywhere."""
    here = this_machine()
    made = meluxina.create(config=CREATE["config"])
    row = meluxina.service(made["id"])
    told = " ".join(row["warnings"])
    meluxina.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
    assert row["warnings"] == made["warnings"]
    assert ("resources.cpu: 8" in told) == (here.cpus < 8)
    assert ("resources.memory: 32G" in told) == (here.memory < 32 * 1024**3)
    assert ("resources.gpu: 1" in told) == (here.gpus < 1)


def test_only_json_is_taken(meluxina: ServiceDaemon) -> None:
    url = f"{meluxina.url}/api/v1/services"
    text = httpx.post(url, content="{}", headers={"Content-Type": "text/plain"}, verify=PLAIN)
    broken = httpx.post(
        url, content="{", headers={"Content-Type": "application/json"}, verify=PLAIN
    )
    assert (text.status_code, broken.status_code) == (415, 400)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is missing"),
        (b"null", "the body: Expected `object`, got `null`"),
        (b"{}", "the body: Object missing required field `recipe_name`"),
        (b'{"recipe_name": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"recipe_name": "inference/vllm", "config": ' + b'{"a":' * 20_000, "too deeply"),
    ],
    ids=["none", "null", "empty", "deep", "deep-config"],
)
def test_a_body_that_is_none_is_told_in_words(
    meluxina: ServiceDaemon, body: bytes, told: str
) -> None:
    url = f"{meluxina.url}/api/v1/services"
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(url, content=body, headers=headers, verify=PLAIN)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]
    assert answer.json()["who"] == "client"


def test_half_an_emoji_is_taken_as_the_replacement_character(
    meluxina: ServiceDaemon, service: str
) -> None:
    """As by every other route: nothing of the body is truncated."""

    def sent(path: str, body: bytes) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return httpx.post(
            f"{meluxina.url}/api/v1{path}", content=body, headers=headers, timeout=60, verify=PLAIN
        )

    made = sent("/services", rb'{"recipe_name": "cut: \ud83d"}')
    assert made.json()["detail"] == "Recipe 'cut: \ufffd' not found"
    assert sent(f"/vllm/{service}/prompt", rb'{"prompt": "cut: \ud83d"}').status_code == 200


def test_a_broken_recipe_is_the_daemons_and_told_by_its_name(meluxina: ServiceDaemon) -> None:
    """Anybody may read it: nothing of this machine's folders is told."""
    own = meluxina.agents.parent / "recipes" / "broken"
    own.mkdir(parents=True, exist_ok=True)
    (own / "bomb.toml").write_text("name = ")
    (own / "open.toml").write_text('name = "x"\ncommand = ["x"]\n')
    (own / "open.toml").chmod(0o666)
    for name, told in (("bomb", "broken/bomb.toml:1"), ("open", "broken/open.toml: can be")):
        answer = meluxina.get(f"/api/v1/recipes/broken/{name}")
        assert (answer.status_code, answer.json()["who"]) == (500, "atoll")
        assert answer.json()["detail"].startswith(told)
        assert str(meluxina.home) not in answer.text
    assert str(meluxina.home) not in meluxina.get("/api/v1/recipes").text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": 5}, "prompt: Expected `str`"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens: Expected `int` >= 1"),
        ({"prompt": "x", "stream": True}, "unknown field `stream`"),
        ({"prompt": "x", "temperature": -1}, "temperature: Expected `float` >= 0"),
        ({"prompt": "x", "temperature": "hot"}, "temperature: Expected `float | null`"),
    ],
)
def test_a_prompt_that_is_none_is_400(
    meluxina: ServiceDaemon, service: str, body: dict[str, object], told: str
) -> None:
    answer = meluxina.ask("POST", f"/api/v1/vllm/{service}/prompt", body)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]


def test_a_prompt_that_the_server_will_not_have_is_400_with_its_words(
    meluxina: ServiceDaemon, service: str
) -> None:
    body = {"prompt": "x", "model": "another"}
    answer = meluxina.ask("POST", f"/api/v1/vllm/{service}/prompt", body)
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert "404: The model `another` does not exist." in answer.json()["details"]
    assert "http_status" not in answer.json()


def test_a_client_that_leaves_ends_the_models_work(meluxina: ServiceDaemon, service: str) -> None:
    """Row 42 of the fault matrix."""
    url = f"{meluxina.url}/api/v1/vllm/{service}/prompt"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json={"prompt": "wait"}, timeout=0.5, verify=PLAIN)
    logs = f"/api/v1/services/{service}/logs?tail=5"
    eventually(lambda: "the client left" in meluxina.get(logs).json()["logs"])


def test_null_is_as_left_out(meluxina: ServiceDaemon) -> None:
    """Clients of the source system send it for every field that they do not fill."""
    made = meluxina.create(config=None, engine=None)
    assert made["config"] == {}
    meluxina.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")


def test_the_page_is_in_the_openapi_document(meluxina: ServiceDaemon) -> None:
    document = meluxina.get("/openapi.json").json()
    assert "/api/v1/services/{name}/logs" in document["paths"]


def test_a_restart_takes_no_words(meluxina: ServiceDaemon, service: str) -> None:
    """They would be passed over in silence."""
    answer = meluxina.ask("POST", f"/api/v1/services/{service}/restart", {"command": "id"})
    assert answer.status_code == 400
    missing = meluxina.ask("POST", "/api/v1/services/3614523/restart", {})
    assert (missing.status_code, missing.json()["detail"]) == (404, "Service not found")
