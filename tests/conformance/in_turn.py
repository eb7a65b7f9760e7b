"""Lies that show only in several answers, and answers that are no lies but garbage."""

from atoll_conformance.a_routes import COPY
from tests.conformance.good import HELLO, LISTED, generated, last
from tests.fakes.upstream import (
    END,
    RESET,
    Reply,
    head,
    line,
    ollama_end,
    ollama_line,
    streamed,
    whole,
)

Answers = dict[str, tuple[Reply, ...]]
"""Path -> its answers one after the other; the last one stays."""

CHAT, GENERATE, TAGS = "/api/chat", "/api/generate", "/api/tags"
UTF8 = "application/json; charset=utf-8"
FORBIDDEN, NOT_OFFERED = "403 Forbidden", "501 Not Implemented"

LISTS = whole({"models": [LISTED]})
LISTS_A_COPY = whole({"models": [{**LISTED, "name": COPY, "model": COPY}]})
REFUSED = whole({"error": "not offered"}, NOT_OFFERED)
SUCCESS = {"status": "success"}
FAILED_AND_DONE = streamed([line({"error": "not offered"}), line(SUCCESS)])
NO = whole(b"", FORBIDDEN)
HEL_LO = streamed(
    [line({**generated(response=part), "done": False}) for part in ("Hel", "lo")]
    + [line(generated(response=""))]
)


def said(text: str, **fields: object) -> Reply:
    """A whole answer of generate."""
    return whole(generated(response=text, **fields), content_type=UTF8)


def spoke(text: str, **fields: object) -> Reply:
    """A whole answer of chat."""
    message = {"role": "assistant", "content": text}
    return whole(last(message=message, **fields).rstrip(b"\n"), content_type=UTF8)


IN_TURN: dict[str, tuple[str, Answers, Answers]] = {
    "a push that fails and succeeds": (
        "A15", {"/api/push": (REFUSED,)}, {"/api/push": (FAILED_AND_DONE,)},
    ),
    "a push that succeeds in one piece": (
        "A15", {"/api/push": (REFUSED,)}, {"/api/push": (REFUSED, whole(SUCCESS))},
    ),
    "a push that is refused in HTML": (
        "A15", {"/api/push": (REFUSED,)},
        {"/api/push": (whole(b"<h1>No</h1>", NOT_OFFERED, "text/html"),)},
    ),
    "a create that fails and succeeds": (
        "A16", {"/api/create": (REFUSED,), TAGS: (LISTS,)},
        {"/api/create": (FAILED_AND_DONE,), TAGS: (LISTS,)},
    ),
    "a create that is refused and done": (
        "A16", {"/api/create": (REFUSED,), TAGS: (LISTS,)},
        {"/api/create": (REFUSED,), TAGS: (LISTS_A_COPY,)},
    ),
    "half of the stream's text": (
        "B2", {GENERATE: (HEL_LO, said("Hello"), HEL_LO)},
        {GENERATE: (HEL_LO, said("Hel"), HEL_LO)},
    ),
    "an answer without its encoding": (
        "B2", {GENERATE: (HEL_LO, said("Hello"), HEL_LO)},
        {GENERATE: (HEL_LO, whole(generated(response="Hello")), HEL_LO)},
    ),
    "two objects in place of one": (
        "B2", {GENERATE: (HEL_LO, said("Hello"), HEL_LO)},
        {GENERATE: (HEL_LO, whole(2 * line(generated()), content_type=UTF8), HEL_LO)},
    ),
    "the last word of a chat's text": (
        "C2", {CHAT: (HELLO, spoke("Hello"), HELLO)}, {CHAT: (HELLO, spoke("lo"), HELLO)},
    ),
    "a system prompt that is not read": (
        "B5", {GENERATE: (said("Pineapple"), said("Pineapple", prompt_eval_count=9))},
        {GENERATE: (said("Pineapple"),)},
    ),
    "SYSTEM taken for somebody else": (
        "C3", {CHAT: (spoke("Pineapple"),)}, {CHAT: (spoke("hi"),)},
    ),
    "another prompt for other cases": (
        "C3", {CHAT: (spoke("Pineapple"),)},
        {CHAT: (spoke("Pineapple", prompt_eval_count=7), spoke("Pineapple"))},
    ),
    "characters broken by streaming": (
        "C16", {CHAT: (streamed([ollama_line("\ufffd"), ollama_end()]), spoke("\ufffd"))},
        {CHAT: (streamed([ollama_line("\ufffd\ufffd"), ollama_end()]), spoke("\xfc"))},
    ),
    "a foreign host that may read": (
        "F5", {TAGS: (NO, LISTS), CHAT: (NO,)}, {TAGS: (LISTS,), CHAT: (NO,)},
    ),
    "a foreign host that may write": (
        "F5", {TAGS: (NO, LISTS), CHAT: (NO,)}, {TAGS: (NO, LISTS), CHAT: (HELLO,)},
    ),
    "localhost kept out": ("F5", {TAGS: (NO, LISTS), CHAT: (NO,)}, {TAGS: (NO,), CHAT: (NO,)}),
    "a refusal that tells all the same": (
        "F5", {TAGS: (NO, LISTS), CHAT: (NO,)},
        {TAGS: (whole({"models": [LISTED]}, FORBIDDEN), LISTS), CHAT: (NO,)},
    ),
}  # fmt: skip
"""A lie: the row that sees it, good answers, and the answers with the lie."""

GARBAGE: dict[str, Reply] = {
    "reset": [RESET],
    "closed in the head": [b"HTTP/1.1 200 OK\r\nContent-"],
    "closed in the body": [head(length=50), b"{"],
    "no HTTP": [b"220 mail ready\r\n"],
    "not UTF-8": whole(b'{"model": "\xff"}'),
    "a list": whole([]),
    "deeply nested": whole(b"[" * 100_000),
    "nothing": whole(b""),
    "a body that lies about its length": [head() + b"zz\r\n{}\r\n" + END],
}
