"""Model servers that do what they should not: the client keeps its memory, its time, its words."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec.structs import replace

from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt, body_of
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.services.summary import ModelList
from atoll_supervisor.loop.services.asking import Asking
from atoll_supervisor.shell.services import model_client
from tests.fakes.daemon import free_ports
from tests.fakes.model_server import Answers, answer, endless, serving
from tests.fakes.records import ORDER, service

pytestmark = pytest.mark.anyio

MODELS = answer(b'{"data": [{"id": "m"}]}')
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = answer(b'{"choices": [{"message": {"content": "Hello"}}], "model": "m"}')
NO_TEMPLATE = answer(b'{"error": {"message": "This model has no Chat Template."}}', 400)


def record(port: int, name: str = "a") -> Record:
    order = replace(ORDER, api="openai", metrics="/metrics")
    return service(name, order, status="running", host="127.0.0.1", port=port)


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    made = Asking()
    yield made
    await made.close()


def says(chat: bytes | None, completions: bytes | None = None) -> Answers:
    told = {"/v1/models": MODELS, CHAT: chat, COMPLETIONS: completions}
    return told.__getitem__


async def ask(asking: Asking, answers: Answers) -> Answered | NotAnswered:
    async with serving(answers) as server, asyncio.timeout(30):
        return await asking.prompt("a", (record(server.port),), Prompt(prompt="x"))


@pytest.mark.parametrize(
    ("chat", "status", "told"),
    [
        (answer(b"\x00\xff"), 502, "nonsense"),
        (answer(b"{}"), 502, "no choices"),
        (answer(b"[]"), 502, "nonsense"),
        (
            answer(b'{"choices": [{"message": {"content": "x"}}], "y": ' + b"[" * 90_000),
            502,
            "nonsense",
        ),
        (answer(b"", 307, "Location: http://127.0.0.1:1/\r\n"), 502, "not followed"),
        (answer(b"boom \x1b[31mred\r\nx", 500), 502, "500: boom red"),
        (answer(b'{"error": "Unauthorized"}', 401), 502, "401: Unauthorized"),
        (answer(b'{"error": {"message": "no such model"}}', 404), 400, "404: no such model"),
        (answer(b'{"error": {"message": "too long"}}', 400), 400, "400: too long"),
        (answer(b'{"error": "busy"}', 503), 503, "503: busy"),
        (answer(b"x" * 9_000, 500), 502, "xxx"),
        (b"nothing that is HTTP\r\n\r\n", 502, ""),
    ],
)
async def test_what_is_no_answer_is_told_with_who_has_to_mend_it(
    asking: Asking, chat: bytes, status: int, told: str
) -> None:
    found = await ask(asking, says(chat))
    assert isinstance(found, NotAnswered)
    assert found.http_status == status
    assert told in found.details
    assert len(found.details) < 500
    body = msgspec.json.decode(msgspec.json.encode(found), type=dict[str, object])
    assert {"success", "error", "message", "details", "service_id", "status", "endpoint"} < set(
        body
    )
    assert (body["success"], "http_status" in body) == (False, False)


async def test_an_answer_without_an_end_is_given_up_and_fills_no_memory(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_client, "MOST_READ", 300_000)
    async with serving(says(endless())) as server, asyncio.timeout(30):
        found = await asking.prompt("a", (record(server.port),), Prompt(prompt="x"))
        assert isinstance(found, NotAnswered)
        assert "goes on after 300000 bytes" in found.details
        await server.left.wait()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (endless(), "its answer goes on after"),
        (None, "no answer in time"),
        (answer(bytes(range(256))), "they are no text"),
        (answer(b"boom\nboom 1", 500), "500: boom"),
    ],
)
async def test_metrics_that_cannot_be_had_are_left_out_with_the_reason(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, given: bytes | None, why: str
) -> None:
    """In a comment, which is one line whatever the server says."""
    monkeypatch.setattr(model_client, "LOOK_LIMIT", 0.5)
    async with serving(lambda _: given) as server, asyncio.timeout(30):
        *ours, comment = (await asking.metrics((record(server.port),))).splitlines()
        assert ours[-1] == 'atoll_service_restarts_total{service="s-a",recipe="s"} 0'
        assert comment.startswith(f"# The server's own metrics are left out: {why}")


async def test_a_little_that_unpacks_to_much_is_not_unpacked(asking: Asking) -> None:
    """One piece of it may fill a machine's memory before anybody has counted it."""
    bomb = gzip.compress(b" " * 100_000_000)
    packed = answer(bomb, head="Content-Encoding: gzip\r\n")
    tracemalloc.start()
    try:
        found = await ask(asking, says(packed))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(found, NotAnswered)
    assert most < 10_000_000


async def test_a_server_that_says_nothing_is_given_up_after_its_time(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_client, "PROMPT_LIMIT", 0.2)
    found = await ask(asking, says(None))
    assert isinstance(found, NotAnswered)
    assert (found.http_status, "no answer in time" in found.details) == (502, True)


async def test_who_leaves_ends_the_question(asking: Asking) -> None:
    async with serving(says(None)) as server, asyncio.timeout(30):
        prompt = asyncio.create_task(asking.prompt("a", (record(server.port),), Prompt(prompt="x")))
        while CHAT not in server.asked:
            await asyncio.sleep(0.01)
        prompt.cancel()
        await server.left.wait()


async def test_a_model_without_a_chat_template_is_asked_for_a_completion(asking: Asking) -> None:
    found = await ask(asking, says(NO_TEMPLATE, answer(b'{"choices": [{"text": "and so on"}]}')))
    assert isinstance(found, Answered)
    assert (found.response, found.endpoint_used) == ("and so on", "completions")
    worse = await ask(asking, says(NO_TEMPLATE, answer(b'{"detail": "no"}', 400)))
    assert isinstance(worse, NotAnswered)
    assert worse.fallback == "Automatically retried with completions endpoint"


@pytest.mark.parametrize("models", [answer(b"<html>"), answer(b"", 302), endless()])
async def test_models_that_are_not_told_are_told_as_such(
    asking: Asking, models: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_client, "MOST_READ", 100_000)
    async with serving(lambda _: models) as server, asyncio.timeout(30):
        found = await asking.models("a", (record(server.port),))
        assert isinstance(found, NotAnswered)
        assert (found.error, found.http_status) == ("Models not available", 502)
        assert found.details


async def test_a_replica_that_has_just_died_is_passed_over(asking: Asking) -> None:
    """Its end is not known yet; the others take the prompts, each in its turn."""
    async with serving(says(HELLO)) as one, serving(says(HELLO)) as two, asyncio.timeout(30):
        dead = record(free_ports(1), "dead")
        group = (record(one.port, "one"), dead, record(two.port, "two"))
        found = [await asking.prompt("sg-1", group, Prompt(prompt="x")) for _ in range(6)]
        assert {answer.service_id for answer in found} == {"one", "two"}
        assert all(isinstance(answer, Answered) for answer in found)
        assert isinstance(await asking.models("sg-1", group), ModelList)
        alone = await asking.prompt("sg-1", (dead,), Prompt(prompt="x"))
        assert isinstance(alone, NotAnswered)
        assert (alone.http_status, alone.error) == (503, "Service not available")
        assert "Connection refused at 127.0.0.1:" in alone.details


async def test_what_went_wrong_at_one_replica_is_not_done_again_at_another(asking: Asking) -> None:
    failing = says(answer(b"boom", 500))
    async with serving(failing) as one, serving(failing) as two, asyncio.timeout(30):
        group = (record(one.port, "one"), record(two.port, "two"))
        found = await asking.prompt("sg-1", group, Prompt(prompt="x", model="m"))
        assert isinstance(found, NotAnswered)
        assert sorted([one.asked, two.asked]) == [[], [CHAT]]


async def test_a_group_without_any_that_runs_says_why(asking: Asking) -> None:
    over = replace(record(1), status="failed", reason="boom")
    starts = replace(record(2, "b"), status="starting", reason="")
    found = await asking.prompt("sg-1", (over, starts), Prompt(prompt="x"))
    assert isinstance(found, NotAnswered)
    assert (found.status, found.message) == (
        "starting",
        "The service may still be starting up. Please wait and try again.",
    )
    ended = await asking.prompt("sg-1", (over,), Prompt(prompt="x"))
    assert isinstance(ended, NotAnswered)
    assert "is over" in ended.message


async def test_the_metrics_of_a_group_name_each_type_once(asking: Asking) -> None:
    """The text format of Prometheus: one TYPE line for a metric, its samples together."""
    text = await asking.metrics((record(1, "a"), record(2, "b")))
    assert text.count("# TYPE atoll_service_status gauge") == 1
    assert text.splitlines()[1:3] == [
        'atoll_service_status{service="s-a",recipe="s"} 2',
        'atoll_service_status{service="s-b",recipe="s"} 2',
    ]


async def test_null_leaves_a_wish_to_the_server() -> None:
    body = body_of(Prompt(prompt="x", max_tokens=None, temperature=None), "m", "completions")
    assert body == {"model": "m", "prompt": "x"}
