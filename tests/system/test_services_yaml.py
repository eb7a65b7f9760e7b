"""Recipes of the source system's shape on this machine, with a stand-in for Apptainer."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import apptainer
from tests.fakes.daemon import free_ports, running
from tests.fakes.service_daemon import ServiceDaemon, data_of

MINE = "inference/mine"
BUILT = {"container_def": "vllm.def"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ServiceDaemon]:
    daemon = ServiceDaemon(tmp_path)
    apptainer.install(daemon.home / "bin")
    with running(daemon):
        yield daemon


@pytest.fixture
def port() -> int:
    return free_ports(3)


def output(daemon: ServiceDaemon, service: object) -> str:
    return str(daemon.ask("GET", f"/api/v1/services/{service}/logs").json()["logs"])


def test_it_serves_at_the_port_that_the_recipe_names(daemon: ServiceDaemon, port: int) -> None:
    apptainer.recipe(daemon.home.parent, port=port)
    made = daemon.create(MINE)
    row = daemon.until(made["id"], "running", "failed")
    assert (row["status"], row["url"]) == ("running", f"http://127.0.0.1:{port}"), row
    assert [one["id"] for one in daemon.get("/api/v1/vllm/services").json()] == [made["id"]]
    assert daemon.prompt(made["id"]).json()["response"] == "You said: Hello"
    told = output(daemon, made["id"])
    assert f"PORT={port} VLLM_PORT={port} JOB={made['id']}" in told
    assert "sees the GPUs" not in told


def test_a_port_that_is_taken_is_refused_by_its_number(daemon: ServiceDaemon, port: int) -> None:
    """The one that has it would be asked for the health of the one that wants it."""
    apptainer.recipe(daemon.home.parent, port=port)
    with socket.create_server(("127.0.0.1", port)):
        stranger = daemon.ask("POST", "/api/v1/services", {"recipe_name": MINE})
    assert stranger.status_code == 400
    assert f"the recipe names its port, and port {port} is in use" in stranger.json()["detail"]
    daemon.until(daemon.create(MINE)["id"], "running")
    own = daemon.ask("POST", "/api/v1/services", {"recipe_name": MINE})
    assert own.status_code == 400
    assert f"port {port} " in own.json()["detail"]
    assert len(daemon.get("/api/v1/services").json()) == 1


def test_replicas_have_the_ports_after_it(daemon: ServiceDaemon, port: int) -> None:
    apptainer.recipe(daemon.home.parent, port=port)
    group = daemon.create(MINE, replicas=2)
    replicas = daemon.service(group["id"])["replicas"]
    rows = [daemon.until(one["id"], "running") for one in replicas]
    assert [row["port"] for row in rows] == [port, port + 1]
    assert {daemon.prompt(group["id"]).json()["service_id"] for _ in rows} == {
        row["id"] for row in rows
    }


def test_a_stranger_at_its_port_after_a_death_of_all_is_not_taken_for_it(
    daemon: ServiceDaemon, port: int
) -> None:
    apptainer.recipe(daemon.home.parent, port=port, restart="never")
    made = daemon.create(MINE)
    daemon.until(made["id"], "running")
    assert daemon.stop(signal.SIGTERM) == 0
    with socket.create_server(("127.0.0.1", port)):
        daemon.start(settled=False)
        row = daemon.until(made["id"], "failed")
    assert row["reason"] == f"port {port}, which its recipe names, is in use"


def test_an_image_that_is_not_there_is_built_and_the_service_is_building(
    daemon: ServiceDaemon, port: int
) -> None:
    definition = apptainer.recipe(daemon.home.parent, port=port, image=False, **BUILT)
    hold = Path(f"{definition}.hold")
    hold.touch()
    made = daemon.create(MINE)
    daemon.until(made["id"], "building")
    hold.unlink()
    row = daemon.until(made["id"], "running", "failed")
    assert row["status"] == "running", row
    assert definition.with_suffix(".sif").exists()
    assert not (data_of(daemon, made["id"]) / "building").exists()
    assert "Container build successful" in output(daemon, made["id"])
    shown = daemon.get(f"/api/v1/recipes/{MINE}").json()
    assert (shown["image"], shown["container_def"]) == ("vllm.sif", "vllm.def")


def test_an_image_that_cannot_be_built_fails_the_service_with_the_words(
    daemon: ServiceDaemon, port: int
) -> None:
    definition = apptainer.recipe(
        daemon.home.parent, port=port, image=False, restart="never", **BUILT
    )
    definition.unlink()
    row = daemon.until(daemon.create(MINE)["id"], "failed")
    assert "cannot be built" in str(row["reason"])
