"""How many conversations the model host holds at once, and how long each may be.

Each slot has its own part of the key-value cache. A shared cache would let one
long conversation use all of it, but when it runs over, llama.cpp fails every
request in it ("Context size has been exceeded"), strangers' too (measured).
So the parts are fixed: as many as SLOTS, as long as the memory allows.
"""

from msgspec import Struct

from atoll.adapters.gguf import Gguf

SLOTS = 4
LONGEST = 8192
"""Tokens of one slot at most; more costs prompt time that a CPU does not have."""
SHORTEST = 2048
"""Below that, fewer slots are better than shorter ones."""
STEP = 256
"""llama.cpp rounds contexts up to this many tokens."""
MIN_CACHE = 256 * 1024 * 1024
"""Bytes of cache that any machine of ours has; big models get a quarter of their own size."""


class Slots(Struct, frozen=True):
    """`count` slots of `context` tokens each."""

    count: int
    context: int


def slots_of(model: Gguf) -> Slots:
    """The best fit: 4 slots of up to 8192 tokens, halved in number before they get too short."""
    wanted = min(model.context_length or SHORTEST, LONGEST)
    tokens = max(MIN_CACHE, model.size // 4) // max(1, model.kv_bytes)
    count = SLOTS
    while count > 1 and tokens // count < min(wanted, SHORTEST):
        count //= 2
    fitting = max(SHORTEST, tokens // count // STEP * STEP)
    return Slots(count, min(wanted, fitting))
