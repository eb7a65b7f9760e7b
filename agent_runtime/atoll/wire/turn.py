"""What a client asks of an agent: one turn, in no dialect's shape."""

from msgspec import Struct

from atoll.wire.messages import Format, Message, Options, Think, ToolSpec


class TurnRequest(Struct, frozen=True, kw_only=True):
    """One turn.

    `model` is the name as the client spelled it. `messages` hold the request's
    own system messages too; the manifest's system prompt is put before them by
    the loop and can never be removed by a request (DESIGN section 11).
    `client_tools` belong to the client: a call to one ends the turn.
    `raw_prompt` sends that text alone, nothing of the manifest. `options`
    override the manifest's one by one. `max_steps` None means the manifest's.
    `force_answer` asks for one last answer when the steps are used up.
    """

    model: str
    messages: tuple[Message, ...] = ()
    options: Options = Options()
    client_tools: tuple[ToolSpec, ...] = ()
    format: Format = None
    think: Think = None
    raw_prompt: str | None = None
    keep_alive: float | str | None = None
    max_steps: int | None = None
    force_answer: bool = True
