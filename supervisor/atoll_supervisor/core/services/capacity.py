"""What this machine has, and whether a service that is to run on it may have what it asks for.

Amounts are ceilings here and nothing is set aside: a server that may use 32 GiB
seldom does, and the requests of the source page are written for nodes larger
than a desk's machine. So memory and processors may be asked for up to some times
what there is, which is told as a warning; more is refused (issue 6, "an impossible
memory request").
"""

from collections.abc import Iterator

from msgspec import Struct

from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import Resources

BEYOND = {"cpu": 16, "memory": 4}
"""How many times what the machine has the replicas of a service may ask for together: who gets
less time of a processor is late, who gets less memory is not there."""
_MEND = 'ask for less, or for another engine, such as "engine": "slurm"'
_UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1, " bytes"))


class Machine(Struct, frozen=True, kw_only=True):
    """What a machine has for services: `memory` in bytes, `cpus` as far as we may use them."""

    cpus: float
    memory: int
    gpus: int


def warnings_of(asked: Resources, machine: Machine) -> tuple[str, ...]:
    """What a service gets less of than it asks for; raises ClientError for the impossible."""
    if asked.nodes > 1:
        raise ClientError(
            f"config.resources.nodes: {asked.nodes} are asked for, and this machine is 1; {_MEND}"
        )
    return (
        *_ceiling("cpu", asked.cpu, machine.cpus, f"{asked.cpu:g}", f"{machine.cpus:g}"),
        *_ceiling(
            "memory", asked.memory, machine.memory, *map(_size, (asked.memory, machine.memory))
        ),
        *_gpus(asked.gpu, machine.gpus),
    )


def _ceiling(key: str, asked: float, there: float, word: str, has: str) -> Iterator[str]:
    if asked <= there:
        return
    told = f"config.resources.{key}: {word} is asked for, and this machine has {has}"
    if asked > BEYOND[key] * there:
        raise ClientError(f"{told}, of which up to {BEYOND[key]} times may be asked for; {_MEND}")
    yield f"{told}: it gets no more than that"


def _gpus(asked: int, there: int) -> Iterator[str]:
    """One can be asked for without one, as the source page's example does: it is told."""
    if asked <= there:
        return
    told = f"config.resources.gpu: {asked} {'is' if asked == 1 else 'are'} asked for"
    has = f"this machine has {there or 'none'}"
    if asked > 1:
        raise ClientError(f"{told}, and {has}; {_MEND}, or for none: null")
    yield f"{told}, and {has}: the server runs without"


def _size(number: int) -> str:
    """Bytes as people write them, such as `23.4G`."""
    unit, letter = next(pair for pair in _UNITS if number >= pair[0] or pair[0] == 1)
    return f"{number / unit:.4g}{letter}"
