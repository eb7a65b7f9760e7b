"""What a model would know of words and a script does not: logprobs and vectors, made up.

They follow from the text alone, so that a test that is run again sees the same.
"""

import hashlib
import math
from collections.abc import Sequence

from atoll.wire.logprobs import Alternative, Logprob

VECTOR = 64
"""Numbers of a vector; one bit of a word's digest each."""
_SURE = 0.01
"""How much less likely than certain every token is, as a logarithm."""
_STEP = 1.5
"""How much less likely each alternative is than the one before."""


def invented_logprobs(piece: str, alternatives: int | None) -> tuple[Logprob, ...]:
    """The piece as one token, itself the first alternative; () when None are wanted."""
    if alternatives is None or not piece:
        return ()
    logprob = -_SURE - _digest(piece)[0] / 1000
    tokens = [piece, *(f"{piece.strip()}{number}" for number in range(1, alternatives))]
    top = [_token(token, logprob - _STEP * place) for place, token in enumerate(tokens)]
    return (Logprob(piece, logprob, tuple(piece.encode()), tuple(top[:alternatives])),)


def vector_of(words: Sequence[str]) -> tuple[float, ...]:
    """A vector of length 1; texts that share words are near each other, in any case of letters.

    Every word has a direction of its own, and they are added up (random
    indexing); no word at all counts as one.
    """
    sums = [0.0] * VECTOR
    for word in words or ("",):
        bits = int.from_bytes(_digest(word.lower()), "big")
        sums = [held + (1.0 if bits >> at & 1 else -1.0) for at, held in enumerate(sums)]
    length = math.hypot(*sums)
    return tuple(number / length for number in sums) if length else (1.0, *sums[1:])


def _token(token: str, logprob: float) -> Alternative:
    return Alternative(token, logprob, tuple(token.encode()))


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=VECTOR // 8).digest()
