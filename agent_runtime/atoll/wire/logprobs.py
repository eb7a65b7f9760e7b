"""How probable a model held each token of its answer; the shape that Ollama and OpenAI share.

A back end that has none leaves them away, and so does every dialect.
"""

from msgspec import Struct


class Alternative(Struct, frozen=True, omit_defaults=True):
    """A token that was possible at one place.

    `logprob` is a natural logarithm; `bytes` are the token's in UTF-8, empty
    where the back end does not tell them.
    """

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()


class Logprob(Alternative, frozen=True, omit_defaults=True):
    """The token that was taken, and the most probable ones at its place, best first."""

    top_logprobs: tuple[Alternative, ...] = ()
