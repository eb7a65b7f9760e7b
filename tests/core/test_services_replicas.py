"""How many services a request starts: the source system's rule, with shares that add up."""

import pytest

from atoll.errors import ClientError
from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.order import Order, Wish
from atoll_supervisor.core.services.recipe import Amounts, Parameter, Recipe
from atoll_supervisor.core.services.replicas import orders_of, total_of

GIB = 1024**3
NODES = Amounts(nodes=2, cpu=8, memory="64G", gpu=4, time_limit=60)
RECIPE = Recipe(
    name="vllm",
    image="vllm.sif",
    resources=NODES,
    gpu_per_replica=1,
    base_port=8001,
    parameters={
        "gpu_per_replica": Parameter(type="integer", default=1, location="root"),
        "base_port": Parameter(type="integer", default=8001, location="root"),
        "gpu": Parameter(type="integer", default=4, required=True, location="resources"),
    },
)


def orders(
    recipe: Recipe = RECIPE, config: JsonObject | None = None, replicas: int | None = None
) -> tuple[Order, ...]:
    return orders_of(recipe, Wish(recipe_name="r", config=config, replicas=replicas), str)


def test_replicas_share_the_gpus_of_every_node_and_have_ports_in_a_row() -> None:
    made = orders()
    assert [one.port for one in made] == list(range(8001, 8009))
    shares = {
        (one.resources.nodes, one.resources.gpu, one.resources.cpu, one.resources.memory)
        for one in made
    }
    assert shares == {(1, 1, 2, 16 * GIB)}
    assert all("--nv" in one.command for one in made)


@pytest.mark.parametrize(
    ("config", "replicas", "ports"),
    [
        ({"gpu_per_replica": 4}, None, [8001, 8002]),
        ({"gpu_per_replica": "2", "resources": {"nodes": 1}}, None, [8001, 8002]),
        ({"base_port": 9000, "resources": {"nodes": 1, "gpu": 2}}, None, [9000, 9001]),
        ({"resources": {"gpu": None}}, None, [8001]),
        ({}, 1, [8001]),
        ({}, 3, [8001, 8002, 8003]),
    ],
)
def test_a_request_says_how_many_and_where(
    config: JsonObject, replicas: int | None, ports: list[int]
) -> None:
    made = orders(config=config, replicas=replicas)
    assert [one.port for one in made] == ports
    assert not {"gpu_per_replica", "base_port", "gpu"} & made[0].env({}).keys()


def test_a_recipe_that_spreads_nothing_is_one_service_with_all_it_asks_for() -> None:
    (one,) = orders(Recipe(name="r", image="r.sif", resources=NODES, ports=(6333, 6334)))
    assert (one.port, one.resources.gpu, one.resources.nodes) == (6333, 4, 2)
    assert orders(Recipe(name="r", command=("r",)))[0].port == 0


def test_a_share_of_little_is_not_nothing_which_would_be_no_limit() -> None:
    made = orders(config={"resources": {"nodes": 1, "cpu": "0.001", "memory": "0.001K"}})
    assert {(one.resources.cpu, one.resources.memory) for one in made} == {(0.001, 1024**2)}


def test_what_replicas_ask_for_together_is_what_was_asked_for() -> None:
    whole = total_of(orders(config={"resources": {"nodes": 1}}))
    assert (whole.nodes, whole.gpu, whole.cpu, whole.memory) == (1, 4, 8, 64 * GIB)


@pytest.mark.parametrize(
    ("config", "replicas", "told"),
    [
        ({"gpu_per_replica": 5}, None, "config.resources.gpu: 4 is less than the 5"),
        ({"resources": {"gpu": 64}}, None, "make 128 replicas, and this recipe allows 16"),
        ({"gpu_per_replica": 0}, None, "config.gpu_per_replica"),
        ({"base_port": 70_000}, None, "config.base_port"),
        ({"base_port": 65_535}, None, "8 from port 65535 on are too many"),
        ({"gpu_per_replica": "x"}, None, "config.gpu_per_replica"),
        ({"master_port": 1}, None, "no `master_port`"),
        ({}, 0, "replicas: expected 1 to 16"),
        ({}, 10**9, "replicas: expected 1 to 16"),
    ],
)
def test_what_cannot_be_spread_is_refused_by_its_name(
    config: JsonObject, replicas: int | None, told: str
) -> None:
    with pytest.raises(ClientError) as refused:
        orders(config=config, replicas=replicas)
    assert told in str(refused.value)
