"""From a request to the messages a model sees.

DESIGN section 11: the manifest's system prompt comes first, then the request's
own system messages in their order; a request never removes the agent's.
"""

from collections.abc import Sequence

import msgspec

from atoll.config.manifest import Llm
from atoll.wire.messages import Message, Options

LAST_ANSWER = (
    "You have used all the steps of this turn. Do not call any tool. "
    "Answer now, as well as you can, with what you know."
)
REPEATED_ANSWER = (
    "You have made the same calls again and again, and learned nothing new. Do not call any "
    "tool. Answer now, as well as you can, with what you know."
)


PLAN = (
    "Before you act: write a short plan, in numbered steps, of how to answer the last message "
    "with the tools that you have. Write the plan only."
)
NEW_PLAN = (
    "Look at what has come of your plan so far, and write it anew, in short numbered steps, "
    "for what is left to do. Write the plan only."
)


def conversation(system_prompt: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    """All messages for the model: one system message in front, when there is anything to say."""
    own = (system_prompt,) if system_prompt else ()
    leading = 0
    while leading < len(messages) and messages[leading].role == "system":
        leading += 1
    texts = own + tuple(m.content for m in messages[:leading] if m.content)
    head = (Message(role="system", content="\n\n".join(texts)),) if texts else ()
    return head + tuple(messages[leading:])


def plan_messages(messages: Sequence[Message], written: str) -> tuple[Message, ...]:
    """The conversation with the wish for a plan, or for a new one after the one `written`."""
    wish = Message(role="system", content=NEW_PLAN if written else PLAN)
    return (*planned(messages, written), wish)


def planned(messages: Sequence[Message], written: str) -> tuple[Message, ...]:
    """The conversation with the plan behind it, where there is one."""
    note = (Message(role="system", content=f"Your plan:\n{written}"),) if written else ()
    return (*messages, *note)


def last_question(messages: Sequence[Message]) -> str:
    """The text of the last user message, or ""."""
    return next((m.content for m in reversed(messages) if m.role == "user"), "")


def merged(llm: Llm, options: Options) -> Options:
    """The manifest's options with the request's put over them, one by one."""
    own = Options(temperature=llm.temperature, top_p=llm.top_p, max_tokens=llm.max_tokens)
    given = msgspec.structs.asdict(options)
    return msgspec.structs.replace(own, **{key: of for key, of in given.items() if of is not None})
