"""The source system's recipes: its numbers as text, its port, its address, its servers."""

import msgspec
import pytest
from msgspec.structs import replace

from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.container import beside
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.core.services.source_system import as_ours, completed, notes_of

SHAPE: JsonObject = {
    "name": "vllm",
    "category": "inference",
    "image": "vllm.sif",
    "ports": ["8001"],
    "environment": {
        "VLLM_HOST": "0.0.0.0",
        "VLLM_PORT": "8001",
        "OTHER_PORT": 9,
        "EAGER": True,
        "HF": None,
    },
    "resources": {"nodes": "1", "cpu": "2", "gpu": "1"},
    "parameters": {"HF_TOKEN": {"description": "of the hub", "default": ""}},
}


def recipe_of(**other: object) -> Recipe:
    data = {**SHAPE, **msgspec.convert(other, JsonObject)}
    return completed(msgspec.convert(as_ours(data), Recipe))


def test_numbers_may_be_text_and_texts_numbers() -> None:
    recipe = recipe_of(version=1.5, base_port="8001", gpu_per_replica="2")
    assert (recipe.ports, recipe.version, recipe.resources.nodes) == ((8001,), "1.5", 1)
    assert (recipe.base_port, recipe.gpu_per_replica) == (8001, 2)
    assert recipe.parameters["HF_TOKEN"].default is None


def test_its_port_and_its_address_are_places_of_ours() -> None:
    """So that what is asked is what is served, for every replica, and here by nobody else."""
    assert recipe_of().environment == {
        "VLLM_HOST": "{host}",
        "VLLM_PORT": "{port}",
        "OTHER_PORT": "9",
        "EAGER": "true",
    }


def test_a_vllm_among_the_inference_recipes_speaks_openais_api() -> None:
    known = recipe_of(name="mine")
    assert (known.api, known.metrics, known.health.path) == ("openai", "/metrics", "/health")
    assert recipe_of(name="mine", image="triton.sif").api == ""
    assert recipe_of(category="storage").api == ""


def test_a_qdrant_is_asked_where_it_answers() -> None:
    recipe = recipe_of(name="qdrant", category="vector-db", image="q.sif", ports=6333)
    assert recipe.health.path == "/healthz"
    assert recipe.environment["QDRANT__SERVICE__HTTP_PORT"] == "{port}"


def test_what_the_recipe_says_itself_comes_before_what_is_known() -> None:
    check = {"endpoint": "/ready", "interval": 30, "command": ["true"]}
    recipe = recipe_of(health_check=check, metrics="/m")
    assert (recipe.health.path, recipe.health.interval, recipe.metrics) == ("/ready", 30, "/m")


@pytest.mark.parametrize(
    ("keys", "port"),
    [
        ({"ports": [8001, 8002], "base_port": 9000}, 8001),
        ({"ports": [8001], "base_port": 9000, "gpu_per_replica": 1}, 9000),
        ({"ports": None, "base_port": 9000}, 9000),
        ({"ports": None}, 0),
    ],
)
def test_the_port_of_replicas_is_the_base_port_and_else_the_first(
    keys: JsonObject, port: int
) -> None:
    data = {key: value for key, value in {**SHAPE, **keys}.items() if value is not None}
    assert msgspec.convert(as_ours(data), Recipe).port == port


def test_every_key_that_is_left_aside_is_told() -> None:
    data: JsonObject = {
        **SHAPE,
        "command": ["vllm"],
        "deployment_config": {},
        "nproc_per_node": 1,
        "master_port": 1,
        "health_check": {"command": ["true"]},
    }
    named = [note.split("`")[1] for note in notes_of(data)]
    assert named == [
        *("deployment_config", "nproc_per_node", "master_port"),
        *("health_check.command", "image"),
    ]
    assert list(notes_of(SHAPE)) == []


@pytest.mark.parametrize(
    ("image", "definition", "found"),
    [
        ("vllm.sif", "", ("/r/vllm.sif", "")),
        ("", "vllm.def", ("/r/vllm.sif", "/r/vllm.def")),
        ("/apps/a.sif", "/apps/a.def", ("/apps/a.sif", "/apps/a.def")),
        ("docker://a/b", "", ("docker://a/b", "")),
        ("minio/minio:latest", "", ("docker://minio/minio:latest", "")),
    ],
)
def test_image_and_definition_stand_beside_the_recipe(
    image: str, definition: str, found: tuple[str, str]
) -> None:
    recipe = beside(replace(recipe_of(), image=image, container_def=definition), "/r")
    assert (recipe.image, recipe.container_def) == found
