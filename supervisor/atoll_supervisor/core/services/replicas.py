"""How many services a request starts, and what each of them gets.

The source system spreads replicas over the GPUs of a job: `gpu // gpu_per_replica`
on each node, at `base_port` and the ports after it (seeds-contract.md 5.2). Here
each replica is a service of its own and gets its share of what the recipe asks
for, so that all of them together get no more than that.
"""

from msgspec.structs import replace

from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.order import FindModel, Order, Wish, order_of
from atoll_supervisor.core.services.recipe import Recipe

LAST_PORT = 65_535


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
        whole, nodes=1, gpu=each, cpu=round(whole.cpu / here, 3), memory=whole.memory // here
    )
    return here * whole.nodes, share
