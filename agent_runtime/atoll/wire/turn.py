"""What a client asks of an agent: one turn, in no dialect's shape."""

from msgspec import Struct

from atoll.wire.messages import Format, Message, Options, Think, ToolSpec


class TurnRequest(Struct, frozen=True, kw_only=True):
    """One turn.

    `model` is the name as the client spelled it. `messages` hold the request's
    own system messages too; the manifest's system prompt is put before them by
    the loop and can never be removed by a request (DESIGN section 11).
    `client_tools` belong to the client: a call to one ends the turn.
    `raw_prompt` sends that text alone, nothing of the manifest; with `suffix`
    the text between the two is wanted. `options` override the manifest's one
    by one. `max_steps` None means the manifest's. `force_answer` asks for one
    last answer when the steps are used up. `session` names the conversation
    among all of the agent's, so that what its tools keep lasts for it; "" is none.
    `tokens_left` is what the session's budget leaves for this turn, None is no limit.
    `logprobs` wants those of the answer, with `top_logprobs` alternatives each.
    `keep_alive` is in seconds, negative for ever.
    """

    model: str
    messages: tuple[Message, ...] = ()
    options: Options = Options()
    client_tools: tuple[ToolSpec, ...] = ()
    format: Format = None
    think: Think = None
    raw_prompt: str | None = None
    suffix: str = ""
    keep_alive: float | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    max_steps: int | None = None
    force_answer: bool = True
    session: str = ""
    tokens_left: int | None = None
