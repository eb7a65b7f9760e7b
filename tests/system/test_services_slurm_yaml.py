"""Recipes of the source system's shape as jobs of a real SLURM; Apptainer is a stand-in."""

import shutil
from collections.abc import Iterator

import pytest

from tests.fakes import apptainer
from tests.fakes.daemon import eventually, free_ports, running
from tests.fakes.slurm import SMALL, TRANSPORTS, Cluster, SlurmDaemon, cluster, wants_slurm

pytestmark = wants_slurm
MINE = "inference/mine"
SMALL_JOB = {"resources": SMALL}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module", params=TRANSPORTS)
def daemon(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[SlurmDaemon]:
    daemon = SlurmDaemon(tmp_path_factory.mktemp("slurm")).at(slurm, request.param)
    apptainer.install(daemon.home / "bin")
    with running(daemon):
        yield daemon


def output(daemon: SlurmDaemon, service: object) -> str:
    return str(daemon.ask("GET", f"/api/v1/services/{service}/logs").json()["logs"])


def test_it_is_built_on_the_node_and_serves_at_the_port_that_the_recipe_names(
    daemon: SlurmDaemon,
) -> None:
    port, folder = free_ports(3), daemon.home.parent
    shutil.rmtree(folder / "recipes", ignore_errors=True)
    definition = apptainer.recipe(folder, port=port, image=False, container_def="vllm.def")
    hold = definition.with_name("vllm.def.hold")
    hold.touch()
    made = daemon.create(MINE, config=SMALL_JOB)
    daemon.until(made["id"], "building", "failed")
    hold.unlink()
    row = daemon.until(made["id"], "running", "failed")
    assert (row["status"], row["port"]) == ("running", port), row
    assert daemon.prompt(made["id"]).json()["response"] == "You said: Hello"
    assert f"PORT={port} VLLM_PORT={port} JOB={row['job_id']}" in output(daemon, made["id"])
    again = daemon.create(MINE, config=SMALL_JOB)
    there = daemon.until(again["id"], "running", "failed")
    if there["status"] == "failed":  # both on one node
        assert f"port {port}, which its recipe names, is in use" in str(there["reason"])
    for one in (made, again):
        daemon.ask("DELETE", f"/api/v1/services/{one['id']}?purge=true")


def test_the_jobs_id_is_put_into_the_recipes_words_alone(daemon: SlurmDaemon) -> None:
    folder = daemon.home.parent / "recipes"
    folder.mkdir(exist_ok=True)
    (folder / "told.yaml").write_text(
        """name: told
command: ["/bin/sh", "-c", "echo job=$$X word=$$0 asked=$$Y; sleep 100", "${SLURM_JOB_ID}"]
environment: {X: "a ${SLURM_JOB_ID}"}
parameters: {Y: {type: string}}
"""
    )
    asked = {"Y": "${SLURM_JOB_ID} $(id) `id`"}
    made = daemon.create("told", config={**SMALL_JOB, "environment": asked})
    job = daemon.service(made["id"])["job_id"]
    told = f"job=a {job} word={job} asked={asked['Y']}\n"
    eventually(lambda: told in output(daemon, made["id"]), 20)
    daemon.ask("DELETE", f"/api/v1/services/{made['id']}?purge=true")
