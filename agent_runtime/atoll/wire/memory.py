"""What an agent remembers of a session."""

from msgspec import Struct

from atoll.wire.messages import Message

ONE_ANSWER = "context-"
"""How the id begins of what stands for one answer alone; it is the first to go for want of room."""


class Summary(Struct, frozen=True, kw_only=True):
    """What a model is shown in place of a session's oldest messages.

    It stands for so many of them as it `covers`; 0 is none. `tried` is how many messages
    there were when the model last failed to write one, 0 when it never did.
    """

    text: str = ""
    covers: int = 0
    tried: int = 0


class Memory(Struct, frozen=True, kw_only=True):
    """A session as a turn finds it: every word of it, and the tokens that it has cost."""

    messages: tuple[Message, ...] = ()
    summary: Summary = Summary()
    tokens: int = 0
