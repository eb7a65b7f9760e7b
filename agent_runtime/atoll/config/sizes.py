"""Sizes as people write them: `512MB`, `4GiB`, `1.5 G`."""

import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?")
_POWERS = "KMGT"


def bytes_of(size: str) -> int:
    """Bytes; K, M, G, T are powers of 1000 and Ki, Mi, Gi, Ti of 1024 (IEC 80000-13).

    Raises ValueError for what the manifest's `Size` does not take.
    """
    found = _SIZE.fullmatch(size)
    if found is None:
        raise ValueError(f"{size!r} is no size")
    number, unit, binary = found.groups()
    power = _POWERS.index(unit) + 1 if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)
