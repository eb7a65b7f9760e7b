"""How many services a request starts, and what each of them gets.

The source system spreads replicas over the GPUs of a job: `gpu // gpu_per_replica`
on each node, at `base_port` and the ports after it (seeds-contract.md 5.2). Here
each replica is a service of its own and gets its share of what the recipe asks
for: together they get that, and no more unless the request itself says how many.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import MIB, Resources
from atoll_supervisor.core.services.order import FindModel, Order, Wish, order_of
from atoll_supervisor.core.services.recipe import Recipe

LAST_PORT = 65_535
LEAST_CPU = 0.001


def orders_of(recipe: Recipe, wish: Wish, find: FindModel) -> tuple[Order, ...]:
    """One order for each replica; raises ClientError that names the field and what it may be."""
    most = recipe.max_replicas
    if wish.replicas is not None and not 1 <= wish.replicas <= most:
        raise ClientError(f"replicas: expected 1 to {most}")
    order = order_of(recipe, wish, find)
    of_gpus, share = _spread(order)
    count = of_gpus if wish.replicas is None else wish.replicas
    if count > most:
        told = f"{order.resources.gpu} GPUs by gpu_per_replica make {count} replicas"
        raise ClientError(f"config.resources.gpu: {told}, and this recipe allows {most}")
    if order.port + count - 1 > LAST_PORT:
        raise ClientError(f"replicas: {count} from port {order.port} on are too many")
    return tuple(
        replace(order, resources=share, port=order.port + place if order.port else 0)
        for place in range(count)
    )


def total_of(orders: Sequence[Order]) -> Resources:
    """What all of them ask for together, where they run on one machine.

    Of GPUs what one asks for, unless the recipe spreads its own over them: none is set aside.
    """
    each = [order.resources for order in orders]
    gpus = [one.gpu for one in each]
    return Resources(
        nodes=max(one.nodes for one in each),
        cpu=sum(one.cpu for one in each),
        memory=sum(one.memory for one in each),
        gpu=sum(gpus) if orders[0].gpu_per_replica else max(gpus),
    )


def _spread(order: Order) -> tuple[int, Resources]:
    """Replicas that fit the GPUs of all nodes, and what each of them gets of its node."""
    each, whole = order.gpu_per_replica, order.resources
    if not each or not whole.gpu:
        return 1, whole
    here = whole.gpu // each
    if not here:
        told = f"{whole.gpu} is less than the {each} that each replica has (gpu_per_replica)"
        raise ClientError(f"config.resources.gpu: {told}")
    share = replace(
        whole,
        nodes=1,
        gpu=each,
        cpu=_part(whole.cpu, here, LEAST_CPU),
        memory=int(_part(whole.memory, here, MIB)),
        most_cpu=_part(whole.most_cpu, here, LEAST_CPU),
        most_memory=int(_part(whole.most_memory, here, MIB)),
    )
    return here * whole.nodes, share


def _part(whole: float, count: int, least: float) -> float:
    """Of nothing asked for it is nothing: 0 means no limit, which no share may become."""
    return max(round(whole / count, 3), least) if whole else 0.0
