"""Resources as numbers: what people write, what a recipe allows, what a service gets."""

import re

from msgspec import Struct
from msgspec.structs import replace

from atoll.config.suggest import shown
from atoll.errors import ClientError
from atoll_supervisor.core.services.recipe import Amounts

KEYS = ("nodes", "cpu", "memory", "gpu", "time_limit")
_CEILINGS = ("cpu", "memory", "time_limit")
"""Amounts of which 0 is no limit; of the others it is none, and less than any."""
_UNSAID = {"cpu": "most_cpu", "memory": "most_memory", "time_limit": "time_limit"}
MIB = 1024 * 1024
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s?([KMGT]?)i?B?", re.ASCII)
_POWERS = {"": 2, "K": 1, "M": 2, "G": 3, "T": 4}
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_CORES = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?", re.ASCII)


class Resources(Struct, frozen=True, kw_only=True):
    """What one service gets: `memory` in bytes, `time_limit` in minutes; 0 means no limit.

    `most_cpu` and `most_memory` hold a service on this machine for which nobody has said
    how much; a cluster has defaults of its own for those.
    """

    nodes: int = 1
    cpu: float = 0.0
    memory: int = 0
    gpu: int = 0
    time_limit: int = 0
    most_cpu: float = 0.0
    most_memory: int = 0


def memory_of(value: str | int) -> int:
    """Bytes: `32G`, `512MB`, `4GiB`; a bare number is MiB (sbatch(1), --mem). Raises ValueError."""
    found = _SIZE.fullmatch(str(value))
    if isinstance(value, bool) or found is None:
        raise ValueError('a size such as "32G" or "512M"')
    return _positive(int(float(found[1]) * 1024 ** _POWERS[found[2]]), "a size above 0")


def resources_of(base: Amounts, wish: Amounts, given: frozenset[str], most: Amounts) -> Resources:
    """The recipe's resources with the request's over them; raises ClientError.

    `given` are the keys that the request has. Null in it is as left out, but for
    GPUs, of which it asks for none (the source page: "null for CPU-only"). Where
    neither says how much, what the recipe allows at most still holds.
    """
    limits = _read({key: getattr(most, key) for key in KEYS}, "the recipe's limits")
    asked = {key: _asked(key, base, wish, given) for key in KEYS}
    found = _read(asked, "config.resources")
    for key, word in asked.items():
        if word is not None and getattr(most, key) is not None:
            _keep_to(key, word, getattr(found, key), getattr(limits, key), getattr(most, key))
    unsaid = {_UNSAID[key]: getattr(limits, key) for key in _CEILINGS if asked[key] is None}
    return replace(found, **unsaid)


def _asked(key: str, base: Amounts, wish: Amounts, given: frozenset[str]) -> str | float | None:
    word: str | float | None = getattr(wish, key)
    if word is not None:
        return word
    return 0 if key == "gpu" and key in given else getattr(base, key)


def _keep_to(key: str, word: str | float, value: float, limit: float, most: str | float) -> None:
    """Raise ClientError for more than the limit; 0 is no amount at all of what is a ceiling."""
    asked = shown(str(word))
    if key in _CEILINGS and not value:
        asked = f"{asked} means without limit, which"
    elif value <= limit:
        return
    raise ClientError(
        f"config.resources.{key}: {asked} is more than the {most} that this recipe allows"
    )


def _read(asked: dict[str, str | float | None], where: str) -> Resources:
    numbers: dict[str, int | float] = {}
    for key, value in asked.items():
        if value is None:
            continue
        try:
            numbers[key] = _number(key, value)
        except ValueError as error:
            told = f"{shown(str(value))!r} is not {error}"
            raise ClientError(f"{where}.{key}: {told}") from None
    return Resources(
        nodes=int(numbers.get("nodes", 1)),
        cpu=float(numbers.get("cpu", 0)),
        memory=int(numbers.get("memory", 0)),
        gpu=int(numbers.get("gpu", 0)),
        time_limit=int(numbers.get("time_limit", 0)),
    )


def _number(key: str, value: str | float) -> int | float:
    if key == "memory":
        return memory_of(value if isinstance(value, str) else int(value))
    if key == "cpu":
        if isinstance(value, bool) or not _CORES.fullmatch(str(value)):
            raise ValueError("a number of CPUs")
        return _cores(float(value))
    if isinstance(value, bool) or not _WHOLE.fullmatch(str(value)):
        raise ValueError("a whole number")
    number = int(value)
    return _positive(number, "a number above 0") if key == "nodes" else number


def _cores(number: float) -> float:
    if number <= 0:
        raise ValueError("a number of CPUs above 0")
    return number


def _positive(number: int, what: str) -> int:
    if number <= 0:
        raise ValueError(what)
    return number
