"""Each lie of a server is seen by the row that is there for it; the same row passes without it."""

from typing import Any

import pytest

from atoll_conformance.profile import Profile
from atoll_conformance.run import Outcome, Target, run_suite
from atoll_conformance.table import TABLE, chosen
from atoll_conformance.verdict import Fail, NotApplicable, Pass, Verdict
from tests.conformance.good import (
    CALL,
    DETAILS,
    ENDED,
    HELLO,
    LISTED,
    LOAD,
    ROLE,
    RUNNING,
    SHOWN,
    STOP,
    TOOL,
    WORD,
    calling,
    changed,
    chat,
    completed,
    generated,
    last,
    part,
    sse,
    without,
)
from tests.conformance.in_turn import GARBAGE, IN_TURN, Answers, spoke
from tests.fakes.upstream import (
    HANG,
    STATS,
    Reply,
    Upstream,
    head,
    line,
    ollama_end,
    ollama_line,
    streamed,
    whole,
)

pytestmark = pytest.mark.anyio

LIMIT = 20.0
PROFILE = Profile(fail="fail", hello="hello")
CHAT, GENERATE, V1 = "/api/chat", "/api/generate", "/v1/chat/completions"
NOT_FOUND = "404 Not Found"
BAD = "400 Bad Request"
RUNNING_TEXT = b"Ollama is running"


async def told(row: str, replies: dict[str, Reply], limit: float = LIMIT) -> Verdict:
    return await told_in_turn(row, {path: (reply,) for path, reply in replies.items()}, limit)


async def told_in_turn(
    row: str,
    replies: Answers,
    limit: float = LIMIT,
    profile: Profile = PROFILE,
) -> Verdict:
    """The verdict on a server whose answers for a path come one after the other."""
    async with Upstream() as upstream:
        upstream.on("/api/show", whole(SHOWN))
        for path, its in replies.items():
            upstream.on(path, *its)
        target = Target(upstream.url, "tiny", profile, limit)
        outcomes: list[Outcome] = [one async for one in run_suite(target, chosen([row]))]
    return outcomes[0].verdict


def tags(**fields: Any) -> Reply:
    return whole({"models": [{**LISTED, **fields}]})


def shown(**fields: Any) -> Reply:
    return whole({**SHOWN, **fields})


def running(*ends: str) -> Reply:
    models = [{**RUNNING, "name": f"m{n}:latest", "expires_at": end} for n, end in enumerate(ends)]
    return whole({"models": models})


def cloud(**fields: Any) -> Reply:
    return whole({"cloud": {"disabled": True, "source": "config", **fields}})


def error(text: object, status: str = BAD) -> Reply:
    return whole({"error": text}, status)


def drop_content(body: dict[str, Any]) -> None:
    del body["message"]["content"]


LATER, SOONER = "2026-01-01T00:09:00+00:00", "2026-01-01T00:05:00+00:00"
NO_INDEX = {**CALL, "function": without(CALL["function"], "index")}
TEXT_ARGUMENTS = {**CALL, "function": {**CALL["function"], "arguments": "{}"}}
FAILS = [line({**generated(), "done": False}), line({"error": "it fell over"})]
MODEL = {"id": "tiny", "object": "model", "created": 5, "owned_by": "library"}
LIST = {"object": "list", "data": [MODEL]}
NOPE = "model 'atoll-conformance-nope' not found"
UNCHANGED = ollama_line("hi")

LIES: dict[str, tuple[str, str, Reply, Reply]] = {
    "a line end after the banner": (
        "A1", "/", whole(RUNNING_TEXT, content_type="text/plain"),
        whole(RUNNING_TEXT + b"\n", content_type="text/plain"),
    ),
    "the banner as HTML": (
        "A1", "/", whole(RUNNING_TEXT, content_type="text/plain"),
        whole(RUNNING_TEXT, content_type="text/html"),
    ),
    "a body to HEAD": (
        "A2", "/", whole(RUNNING_TEXT, content_type="text/plain"),
        [head("text/plain", length=17), RUNNING_TEXT],
    ),
    "a version with a word": (
        "A3", "/api/version", whole({"version": "0.9.0"}), whole({"version": "mine-0.9.0"}),
    ),
    "a version too old for Copilot": (
        "A3", "/api/version", whole({"version": "0.6.4"}), whole({"version": "0.5.12"}),
    ),
    "models null": ("A5", "/api/tags", tags(), whole({"models": None})),
    "an epoch in modified_at": ("A5", "/api/tags", tags(), tags(modified_at=1767225600)),
    "a digest with a prefix": ("A5", "/api/tags", tags(), tags(digest=f"sha256:{'ab' * 32}")),
    "a name without its tag": ("A5", "/api/tags", tags(), tags(name="tiny", model="tiny")),
    "empty details": ("A5", "/api/tags", tags(), tags(details=without(DETAILS, "family"))),
    "no capabilities": ("A8", "/api/show", shown(), whole(without(SHOWN, "capabilities"))),
    "model_info null": ("A8", "/api/show", shown(), shown(model_info=None)),
    "a parameter without a value": ("A8", "/api/show", shown(), shown(parameters="stop")),
    "the 405 of a framework": (
        "A20", CHAT, whole(b"405 method not allowed", "405 Method Not Allowed", "text/plain"),
        whole({"status_code": 405, "detail": "Method Not Allowed"}, "405 Method Not Allowed"),
    ),
    "SSE in place of NDJSON": (
        "C1", CHAT, HELLO, streamed([ollama_line("hi"), ollama_end()], "text/event-stream"),
    ),
    "no done:true": ("C1", CHAT, HELLO, chat(ollama_line("Hel"), ollama_line("lo"))),
    "done:true twice": ("C1", CHAT, HELLO, chat(ollama_line("hi"), ollama_end(), ollama_end())),
    "no done_reason": ("C1", CHAT, HELLO, chat(UNCHANGED, last(done_reason=None))),
    "no metrics": ("C1", CHAT, HELLO, chat(UNCHANGED, last(eval_count=None))),
    "durations in seconds": (
        "C1", CHAT, HELLO, chat(UNCHANGED, last(**dict.fromkeys(STATS, 1))),
    ),
    "a chunk without content": (
        "C1", CHAT, HELLO, chat(UNCHANGED, changed(drop_content), ollama_end()),
    ),
    "a key `error` in a good chunk": (
        "C1", CHAT, HELLO, chat(changed(lambda body: body.update(error="")), ollama_end()),
    ),
    "a tool call in the done chunk": (
        "C4", CHAT, TOOL,
        chat(last(message={"role": "assistant", "content": "", "tool_calls": [CALL]})),
    ),
    "arguments as a text": ("C4", CHAT, TOOL, chat(calling(TEXT_ARGUMENTS), ollama_end())),
    "a tool call without id": ("C4", CHAT, TOOL, chat(calling(without(CALL, "id")), ollama_end())),
    "a tool call without index": ("C4", CHAT, TOOL, chat(calling(NO_INDEX), ollama_end())),
    "tool_calls as done_reason": ("C4", CHAT, TOOL, chat(calling(), ollama_end("tool_calls"))),
    "one index for two calls": (
        "C6", CHAT,
        chat(ollama_line(tool_calls=[CALL, {
            "id": "call_00000002", "function": {**CALL["function"], "index": 1}
        }]), ollama_end()),
        chat(ollama_line(tool_calls=[CALL, {**CALL, "id": "call_00000002"}]), ollama_end()),
    ),
    "thinking within the text": (
        "C8", CHAT, chat(ollama_line(thinking="hm"), UNCHANGED, ollama_end()),
        chat(ollama_line("<think>hm</think>hi"), ollama_end()),
    ),
    "thinking after the text": (
        "C8", CHAT, chat(ollama_line(thinking="hm"), UNCHANGED, ollama_end()),
        chat(UNCHANGED, ollama_line(thinking="hm"), ollama_end()),
    ),
    "half a character": (
        "C16", CHAT, HELLO,
        chat(UNCHANGED.replace(b"hi", b"\xc3"), UNCHANGED.replace(b"hi", b"\xbc"), ollama_end()),
    ),
    "an epoch in created_at": (
        "C18", CHAT, HELLO, chat(changed(lambda body: body.update(created_at=1767225600))),
    ),
    "a time without zone": (
        "C18", CHAT, HELLO,
        chat(changed(lambda body: body.update(created_at="2026-01-01T00:00:00")), ollama_end()),
    ),
    "a load that streams": (
        "C12", CHAT, whole({**without(LOAD, "response"), "message": {}}),
        chat(last(done_reason="load")),
    ),
    "an error as an object": ("D3", CHAT, error("wrong"), error({"message": "wrong"})),
    "an error under `detail`": ("D3", CHAT, error("wrong"), whole({"detail": "wrong"}, BAD)),
    "an error with 200": ("D3", CHAT, error("wrong"), error("wrong", "200 OK")),
    "the other quotes": (
        "D9", "/api/show", error(NOPE, NOT_FOUND), error(NOPE.replace("'", '"'), NOT_FOUND),
    ),
    "a failure that ends well": (
        "B20", GENERATE, streamed(FAILS), streamed([*FAILS, line(generated())]),
    ),
    "a failure told as an object": (
        "B20", GENERATE, streamed(FAILS), streamed([FAILS[0], line({"error": {"message": "x"}})]),
    ),
    "format json ignored": (
        "B10", GENERATE, whole(generated(response='{"a": 1}')), whole(generated()),
    ),
    "another schema": (
        "B11", GENERATE, whole(generated(response='{"name": "Aino", "age": 7}')),
        whole(generated(response='{"name": "Aino", "age": "7"}')),
    ),
    "data null": ("E1", "/v1/models", whole(LIST), whole({**LIST, "data": None})),
    "no [DONE]": ("E4", V1, sse(ROLE, WORD, STOP), sse(ROLE, WORD, STOP, end=b"")),
    "the role in each chunk": (
        "E4", V1, sse(ROLE, WORD, STOP),
        sse(ROLE, {"delta": {"role": "assistant", "content": "hi"}}, STOP),
    ),
    "no finish_reason": ("E4", V1, sse(ROLE, WORD, STOP), sse(ROLE, WORD)),
    "arguments as an object in /v1": ("E6", V1, completed("{}"), completed({})),
    "stop after a tool call": ("E6", V1, completed("{}"), completed("{}", "stop")),
    "no index in a stream": (
        "E7", V1, sse(ROLE, part(0, "a"), part(1, "b"), ENDED),
        sse(ROLE, part(None, "a"), part(None, "b"), ENDED),
    ),
    "one index for two calls in a stream": (
        "E7", V1, sse(ROLE, part(0, "a"), part(1, "b"), ENDED),
        sse(ROLE, part(0, "a"), part(0, "b"), ENDED),
    ),
    "a foreign origin let in": (
        "F3", "/api/tags", whole(b"", "403 Forbidden", "text/plain"), tags(),
    ),
    "no source of the decision about the cloud": (
        "A18", "/api/status", cloud(), cloud(source=""),
    ),
    "a text for disabled": ("A18", "/api/status", cloud(), cloud(disabled="true")),
}  # fmt: skip
"""A lie: the row that sees it, the path, a good answer, and the answer with the lie."""


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_seen_by_its_row(lie: str) -> None:
    row, path, right, wrong = LIES[lie]
    assert await told(row, {path: right}) == Pass()
    came = await told(row, {path: wrong})
    assert isinstance(came, Fail), came
    assert came.expected
    assert came.came


@pytest.mark.parametrize("lie", IN_TURN)
async def test_a_lie_in_several_answers_is_seen_by_its_row(lie: str) -> None:
    row, right, wrong = IN_TURN[lie]
    assert await told_in_turn(row, right) == Pass()
    assert isinstance(await told_in_turn(row, wrong), Fail)


async def test_a_model_that_wavers_proves_nothing_against_its_server() -> None:
    """Two streams of the same prompt differ: then the whole answer may differ too."""
    other = chat(ollama_line("Hullo"), ollama_end())
    assert await told_in_turn("C2", {CHAT: (HELLO, spoke("Hallo"), other)}) == Pass()


@pytest.mark.parametrize("row", ["C4", "C6"])
async def test_a_model_that_talks_in_place_of_calling_is_at_fault_only_if_it_can_call(
    row: str,
) -> None:
    talk: Answers = {CHAT: (HELLO,)}
    assert isinstance(await told_in_turn(row, talk), NotApplicable)
    calls = Profile(tool_keys=("unit", "city"))
    assert isinstance(await told_in_turn(row, talk, profile=calls), Fail)


async def test_a_cloud_that_is_told_of_is_no_failure() -> None:
    came = await told("A18", {"/api/status": cloud(disabled=False)})
    assert came == NotApplicable("this server says that it uses a cloud")


async def test_the_order_of_ps_is_seen() -> None:
    for reply, kind in ((running(LATER, SOONER), Pass), (running(SOONER, LATER), Fail)):
        assert isinstance(await told("A7", {GENERATE: whole(LOAD), "/api/ps": reply}), kind)


async def test_another_name_in_the_answer_is_seen() -> None:
    """The fake always says `tiny`, whatever it is asked for."""
    came = await told("C17", {CHAT: HELLO})
    assert isinstance(came, Fail)
    assert "tiny" in came.came


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("row", ["A5", "B2", "C1", "E3"])
async def test_garbage_fails_the_row_and_ends_nothing(kind: str, row: str) -> None:
    paths = ("/api/tags", GENERATE, CHAT, V1)
    came = await told(row, dict.fromkeys(paths, GARBAGE[kind]))
    assert isinstance(came, Fail)
    assert came.expected


async def test_a_server_that_hangs_fails_the_row_at_its_limit() -> None:
    came = await told("C1", {CHAT: [head("application/x-ndjson"), HANG]}, limit=0.3)
    assert isinstance(came, Fail)
    assert "0.3 s" in came.came or "Timeout" in came.came


async def test_a_row_without_the_ability_does_not_apply() -> None:
    bare = whole({**SHOWN, "capabilities": ["completion"]})
    for row in ("C4", "C8", "E6", "E8"):
        assert isinstance(await told(row, {"/api/show": bare}), NotApplicable)


async def test_a_client_names_the_command_that_brings_it() -> None:
    came = await told("G1", {})
    why = "name an environment that has it with --clients: pip install ollama"
    assert came == NotApplicable(why)


async def test_what_came_cannot_steer_the_terminal() -> None:
    reply = whole(b"\x1b[2Jboo" + b"x" * 9999, content_type="text/plain")
    came = await told("A1", {"/": reply})
    assert isinstance(came, Fail)
    assert "\x1b" not in came.came
    assert len(came.came) < 200


def test_every_row_is_there_once() -> None:
    ids = [row.id for row in TABLE]
    assert len(set(ids)) == len(ids) == 110
    assert [row.id for row in chosen(["b7", "F"])][:2] == ["B7", "F1"]


@pytest.mark.parametrize("kind", ["reset", "no HTTP"])
async def test_garbage_in_answer_to_head_fails_the_row(kind: str) -> None:
    assert isinstance(await told("A2", {"/": GARBAGE[kind]}), Fail)
