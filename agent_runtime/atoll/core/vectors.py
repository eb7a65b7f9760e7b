"""Embeddings as clients get them: cut to the length they ask for, and of length 1."""

import math
from collections.abc import Sequence


def fitted(vector: Sequence[float], dimensions: int | None = None) -> tuple[float, ...]:
    """The first `dimensions` numbers, None for all, scaled to a Euclidean length of 1.

    Cut first and scaled then, as Ollama does it; a vector of zeros stays one.
    """
    wanted = tuple(vector[:dimensions])
    length = math.hypot(*wanted)
    return tuple(number / length for number in wanted) if length else wanted
