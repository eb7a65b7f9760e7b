"""Services of a whole daemon: a real llama.cpp, and what survives which death."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.arch.tree import ROOT
from tests.fakes import chroma
from tests.fakes.byheart import ANSWER, Sentence, make_byheart
from tests.fakes.daemon import PLAIN, eventually, running
from tests.fakes.disk import OnDisk, small_disk
from tests.fakes.service_daemon import ServiceDaemon, data_of

KNOWN = (Sentence("<|hello|>", (b"Hel", b"lo", b" there")),)

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}" + ANSWER


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ServiceDaemon]:
    with running(ServiceDaemon(tmp_path)) as daemon:
        yield daemon


def add_recipe(folder: Path, name: str, lines: str) -> None:
    """A recipe of a person's own, for a daemon in this folder."""
    place = folder / "recipes" / f"{name}.toml"
    place.parent.mkdir(exist_ok=True)
    place.write_text(f'name = "{name}"\nstart_limit = 20\nstop_timeout = 2\n{lines}\n')


def pid_of(daemon: ServiceDaemon, service: object) -> int:
    """The pid of a service's server."""
    port = str(daemon.service(service)["port"])
    for process in daemon.tree():
        if "serve" in process.cmdline() and port in process.cmdline():
            return process.pid
    raise AssertionError(f"nothing serves at {port}")


def test_a_real_llama_cpp_answers_prompts(daemon: ServiceDaemon, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="wants the extra local")
    gguf = make_byheart(tmp_path / "byheart.gguf", KNOWN, TEMPLATE)
    made = daemon.create("inference/llama-cpp", config={"model": str(gguf)})
    row = daemon.until(made["id"], "running", "failed")
    assert row["status"] == "running", row
    answer = daemon.prompt(made["id"], "<|hello|>")
    assert answer.status_code == 200, answer.text
    assert answer.json()["response"] == "Hello there"
    assert answer.json()["model"] == made["name"]
    refused = httpx.get(f"{row['url']}/v1/models", verify=PLAIN)
    assert refused.status_code == 401, "without its key nobody may use it"
    assert not refused.headers.get("access-control-allow-origin")


@pytest.mark.skipif(not chroma.IS_THERE, reason="wants `make setup`, for a platform it has")
def test_a_real_chroma_keeps_its_data_over_a_restart(daemon: ServiceDaemon) -> None:
    chroma.install(daemon.home / "bin")
    made = daemon.create("vector-db/chroma")
    row = daemon.until(made["id"], "running", limit=50)
    tenant = f"{row['url']}/api/v2/tenants/default_tenant/databases/default_database"
    httpx.post(f"{tenant}/collections", json={"name": "words"}, verify=PLAIN).raise_for_status()
    assert daemon.stop() == 0
    daemon.start()
    daemon.until(made["id"], "running", limit=50)
    names = httpx.get(f"{tenant}/collections", verify=PLAIN).json()
    assert [one["name"] for one in names] == ["words"]
    assert daemon.prompt(made["id"]).status_code == 400


def test_a_killed_server_is_back_at_its_port_and_the_restart_is_counted(
    daemon: ServiceDaemon,
) -> None:
    made = daemon.create()
    before = daemon.until(made["id"], "running")
    pid = pid_of(daemon, made["id"])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: daemon.service(made["id"])["restarts"] == 1)
    after = daemon.until(made["id"], "running")
    assert after["port"] == before["port"]
    assert pid_of(daemon, made["id"]) != pid
    assert daemon.prompt(made["id"]).status_code == 200


def test_a_server_that_hangs_leaves_running_with_a_reason_and_is_replaced(
    tmp_path: Path,
) -> None:
    daemon = ServiceDaemon(tmp_path)
    quick = (ROOT / "recipes/inference/vllm.toml").read_text()
    quick = quick.replace("interval = 5\ntimeout = 8", "interval = 0.2\ntimeout = 0.3")
    own = tmp_path / "recipes/inference"
    own.mkdir(parents=True)
    (own / "quick.toml").write_text(quick)
    with running(daemon):
        made = daemon.create("inference/quick")
        daemon.until(made["id"], "running")
        pid = pid_of(daemon, made["id"])
        os.kill(pid, signal.SIGSTOP)
        assert daemon.until(made["id"], "starting")["reason"]
        daemon.until(made["id"], "running")
        assert pid_of(daemon, made["id"]) != pid


def test_the_daemons_death_touches_no_service(daemon: ServiceDaemon) -> None:
    """MX3: the next daemon finds each again, with its id, its process and its key."""
    made = daemon.create()
    slow = daemon.create(config={"environment": {"VLLM_MODEL": "slow"}})
    before = daemon.until(made["id"], "running")
    daemon.until(slow["id"], "starting")
    pid = pid_of(daemon, made["id"])
    daemon.stop(signal.SIGKILL)
    daemon.start(settled=False)
    after = daemon.until(made["id"], "running")
    kept = ("id", "name", "port", "created_at", "recipe_name", "config", "restarts")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert pid_of(daemon, made["id"]) == pid
    assert daemon.prompt(made["id"]).status_code == 200
    (data_of(daemon, slow["id"]) / "go").touch()
    daemon.until(slow["id"], "running")


def test_services_start_again_with_the_daemon_and_ended_ones_do_not(
    daemon: ServiceDaemon,
) -> None:
    made, ended = daemon.create(), daemon.create()
    daemon.until(made["id"], "running")
    daemon.until(ended["id"], "running")
    daemon.ask("DELETE", f"/api/v1/services/{ended['id']}")
    assert daemon.stop() == 0
    daemon.start()
    daemon.until(made["id"], "running")
    assert daemon.status(ended["id"]) == "cancelled"
    assert len(list(daemon.get("/api/v1/services").json())) == 2


def test_one_that_is_ended_is_answered_when_its_process_is_gone(daemon: ServiceDaemon) -> None:
    made = daemon.create()
    daemon.until(made["id"], "running")
    process = psutil.Process(pid_of(daemon, made["id"]))
    answer = daemon.ask("DELETE", f"/api/v1/services/{made['id']}")
    assert (answer.status_code, answer.json()["message"]) == (200, "Service stopped successfully")
    assert not process.is_running()
    assert daemon.service(made["id"])["reason"] == "stopped by a user"
    assert daemon.service(made["id"])["url"] is None


def test_one_that_takes_its_time_to_end_is_told_as_such(tmp_path: Path) -> None:
    """It may take its whole stop limit, in which its port and its memory are still its own."""
    daemon = ServiceDaemon(tmp_path)
    add_recipe(
        tmp_path,
        "stubborn",
        'command = ["sh", "-c", "trap : TERM; echo deaf; while :; do sleep 9; done"]',
    )
    with running(daemon):
        made = daemon.create("stubborn")
        logs = f"/api/v1/services/{made['id']}/logs"
        eventually(lambda: "deaf" in daemon.ask("GET", logs).json()["logs"])
        answer = daemon.ask("DELETE", f"/api/v1/services/{made['id']}?wait=false")
        assert (answer.status_code, answer.json()["message"]) == (202, "Service is being stopped")
        row = daemon.service(made["id"])
        assert (row["status"], row["url"]) == ("cancelled", None)
        assert "still on its way out" in str(row["reason"])
        again = daemon.ask("DELETE", f"/api/v1/services/{made['id']}")
        assert again.status_code == 200
        assert daemon.service(made["id"])["reason"] == "stopped by a user"


def test_one_that_has_failed_is_started_again_with_its_data(tmp_path: Path) -> None:
    daemon = ServiceDaemon(tmp_path)
    words = """command = ["sh", "-c", "test -e mended && exec vllm serve m --host $0 --port $1; \
echo it is broken >&2; exit 3", "{host}", "{port}"]
restart = "never"
"""
    add_recipe(tmp_path, "fragile", words.replace("\\\n", ""))
    with running(daemon):
        made = daemon.create("fragile")
        row = daemon.until(made["id"], "failed")
        assert (row["restarts"], "it is broken" in str(row["reason"])) == (0, True)
        (data_of(daemon, made["id"]) / "mended").touch()
        answer = daemon.ask("POST", f"/api/v1/services/{made['id']}/restart")
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] in ("pending", "starting")
        row = daemon.until(made["id"], "running", "failed")
        assert row["status"] == "running"
        assert "it is broken" in str(row["last_end"])
        daemon.stop(signal.SIGKILL)
        daemon.start(settled=False)
        assert "it is broken" in str(daemon.until(made["id"], "running")["last_end"])
        pid = pid_of(daemon, made["id"])
        daemon.ask("POST", f"/api/v1/services/{made['id']}/restart").raise_for_status()
        daemon.until(made["id"], "running")
        assert pid_of(daemon, made["id"]) != pid


def test_of_many_restarts_at_once_one_is_made(daemon: ServiceDaemon) -> None:
    made = daemon.create()
    daemon.until(made["id"], "running")
    pid = pid_of(daemon, made["id"])
    restart = f"/api/v1/services/{made['id']}/restart"
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda _: daemon.ask("POST", restart), range(4)))
    told = sorted(answer.status_code for answer in answers)
    assert (told[0], set(told)) == (200, {200, 503}), told
    assert any("is being started already" in answer.text for answer in answers)
    daemon.until(made["id"], "running")
    assert pid_of(daemon, made["id"]) != pid


def test_a_recipe_says_how_often_its_server_is_started_again(tmp_path: Path) -> None:
    daemon = ServiceDaemon(tmp_path)
    add_recipe(tmp_path, "once", 'command = ["false"]\nmax_restarts = 1')
    add_recipe(tmp_path, "ever", 'command = ["true"]\nrestart = "always"\nmax_restarts = 2')
    with running(daemon):
        once, ever = (daemon.create(name)["id"] for name in ("once", "ever"))
        assert daemon.until(once, "failed")["restarts"] == 1
        assert daemon.until(ever, "failed")["restarts"] == 2


def test_a_server_that_cannot_start_ends_as_failed_with_its_last_words(
    daemon: ServiceDaemon,
) -> None:
    dies = daemon.create(config={"environment": {"VLLM_MODEL": "dies"}})
    hog = daemon.create(
        config={"environment": {"VLLM_MODEL": "hog"}, "resources": {"memory": "200M"}}
    )
    eventually(lambda: "oom-killed" in str(daemon.service(hog["id"])["reason"]), 40)
    row = daemon.until(dies["id"], "failed", limit=50)
    assert "Failed to infer device type" in str(row["reason"])
    assert row["ended_at"]


def test_a_port_that_a_stranger_takes_is_not_fought_for(daemon: ServiceDaemon) -> None:
    made = daemon.create()
    port = daemon.until(made["id"], "running")["port"]
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def is_taken() -> bool:
            try:
                stranger.bind(("127.0.0.1", int(str(port))))
            except OSError:
                return False
            stranger.listen()
            return True

        eventually(is_taken)
        other = daemon.create()
        assert daemon.until(other["id"], "running")["port"] != port


def test_a_recipe_whose_program_is_missing_says_so(daemon: ServiceDaemon, tmp_path: Path) -> None:
    own = tmp_path / "recipes"
    own.mkdir()
    (own / "gone.toml").write_text('name = "gone"\ncommand = ["no-such-program"]\n')
    made = daemon.create("gone")
    eventually(lambda: "no-such-program" in str(daemon.service(made["id"])["reason"]))


def test_management_of_services_needs_the_token(daemon: ServiceDaemon) -> None:
    body = {"recipe_name": "inference/vllm"}
    url = f"{daemon.url}/api/v1/services"
    assert httpx.post(url, json=body, verify=PLAIN).status_code == 401
    made = daemon.create()
    daemon.until(made["id"], "running")
    assert httpx.delete(f"{url}/{made['id']}", verify=PLAIN).status_code == 401
    for path in ("logs", "endpoint"):
        assert httpx.get(f"{url}/{made['id']}/{path}", verify=PLAIN).status_code == 401
    prompt = {"prompt": "Hello"}
    asked = f"{daemon.url}/api/v1/vllm/{made['id']}/prompt"
    assert httpx.post(asked, json=prompt, verify=PLAIN).status_code == 200
    evil = {"Origin": "https://evil.example"}
    assert httpx.post(asked, json=prompt, headers=evil, verify=PLAIN).status_code == 403


class OnSmallDisk(OnDisk, ServiceDaemon):
    """A daemon with services whose state is on a disk that can be filled."""


def test_a_full_disk_ends_no_service_and_forgets_none(tmp_path: Path) -> None:
    """Row 19 of the fault matrix: also when the daemon dies and another begins meanwhile."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("wants root and mount namespaces")
    with small_disk() as disk:
        daemon = OnSmallDisk(tmp_path, disk)
        with running(daemon):
            made = daemon.create()
            daemon.until(made["id"], "running")
            pid = pid_of(daemon, made["id"])
            disk.fill()
            refused = daemon.ask("POST", "/api/v1/services", {"recipe_name": "inference/vllm"})
            assert (refused.status_code, refused.json()["code"]) == (503, "cannot_be_kept")
            assert daemon.get("/health").json()["ok"] is False
            daemon.stop(signal.SIGKILL)
            daemon.start(settled=False)
            daemon.until(made["id"], "running")
            assert pid_of(daemon, made["id"]) == pid
            ended = daemon.ask("DELETE", f"/api/v1/services/{made['id']}")
            assert (ended.status_code, "it is ended" in ended.json()["detail"]) == (503, True)
            eventually(lambda: not psutil.pid_exists(pid))
            assert daemon.status(made["id"]) == "cancelled"
            disk.free()
            eventually(lambda: daemon.get("/health").json()["ok"] is True)
            daemon.stop(signal.SIGKILL)
            daemon.start(settled=False)
            assert daemon.status(made["id"]) == "cancelled"
