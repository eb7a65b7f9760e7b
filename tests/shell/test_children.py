"""Children of an agent: real agents as parents, over real sockets, with children good and bad."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

from atoll.core.hops import Hop
from atoll.core.papers import HOPS, NAMES, Seal, journey_of
from atoll.core.papers import TRACE as TRACEPARENT
from atoll.loop.agent import Agent
from atoll.wire.events import (
    Below,
    Event,
    Failure,
    Reasoning,
    RunEnd,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
)
from atoll.wire.messages import Message, Usage
from atoll.wire.turn import TurnRequest
from tests.fakes.children import (
    BEGUN,
    KEY,
    TURNS,
    asks,
    below,
    ended,
    everyone,
    good,
    line,
    parent,
    rows,
    says,
    turn,
    warned,
)
from tests.fakes.upstream import HANG, RESET, Hold, Reply, Request, Upstream, head, piece, whole
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

FLEET = Seal(KEY, "")
ASKS, DONE = asks("helper"), "the parent is done"


@pytest.fixture
async def child() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        upstream.on(TURNS, good())
        yield upstream


def at(child: Upstream, more: str = "") -> str:
    return f'[sub_agents.helper]\nurl = "{child.url}"\n{more}\n'


def result_of(events: list[object]) -> ToolResult:
    (result,) = [event for event in events if isinstance(event, ToolResult)]
    return result


def papers(request: Request) -> dict[bytes, str]:
    named = {name.encode(): value for name, value in request.headers.items()}
    return {name: value for name, value in named.items() if name in NAMES}


# What a child is


async def test_a_child_is_a_tool_whose_result_is_its_answer(
    tmp_path: Path, child: Upstream
) -> None:
    async with parent(tmp_path, at(child), asks("helper", task="find it")) as agent:
        events = await turn(agent)
    assert result_of(events) == ToolResult("call_00000001", "helper", "the child is done")
    assert child.requests[-1].json == {"messages": [{"content": "find it", "role": "user"}]}
    assert isinstance(events[-1], RunEnd)
    assert events[-1].answer == "the parent is done"


async def test_what_a_child_does_is_told_with_its_name_and_its_childrens(
    tmp_path: Path, child: Upstream
) -> None:
    did = (Reasoning("hm"), ToolCall("c1", "look", {}), ToolResult("c1", "look", "seen"))
    deeper = Below(("grandchild",), "run_g", ToolCall("g1", "dig", {"n": 1}))
    child.on(TURNS, says(*did, deeper, Token("the "), ended()))
    async with parent(tmp_path, at(child), ASKS) as agent:
        events = await turn(agent)
    mine = below(events, "helper")
    assert mine[:-1] == [*BEGUN, *did]
    assert below(events, "helper", "grandchild") == [ToolCall("g1", "dig", {"n": 1})]
    assert {one.run_id for one in events if isinstance(one, Below)} == {"run_c", "run_g"}
    assert "".join(event.text for event in events if isinstance(event, Token)) == DONE


async def test_a_childs_steps_are_told_while_it_is_still_at_work(
    tmp_path: Path, child: Upstream
) -> None:
    told = asyncio.Event()
    child.on(TURNS, says(ToolCall("c1", "look", {}), Hold(told), Token("x"), ended()))
    async with parent(tmp_path, at(child), ASKS) as agent:
        request = TurnRequest(model="p", messages=(Message(role="user", content="go"),))

        async def emit(event: Event) -> None:
            if isinstance(event, Below) and isinstance(event.event, ToolCall):
                told.set()  # only now may the child go on

        async with asyncio.timeout(20):
            await agent.turn(request, emit)
    assert told.is_set()


async def test_a_table_without_an_agent_of_a_fleet_needs_no_daemon(
    tmp_path: Path, child: Upstream
) -> None:
    async with Upstream() as daemon:
        async with parent(tmp_path, at(child), ASKS, ATOLL_DAEMON_URL=daemon.url) as agent:
            await turn(agent)
        assert daemon.requests == []


async def test_the_allow_list_takes_children_too(tmp_path: Path, child: Upstream) -> None:
    async with parent(tmp_path, f'{at(child)}[tools]\nallow = ["x"]', ASKS) as agent:
        events = await turn(agent)
        assert not agent.has_tools
    assert [type(event) for event in events if isinstance(event, ToolCall | ToolResult)] == []
    assert child.requests == []


@pytest.mark.parametrize("arguments", ['{ task = "" }', "{ }", '{ task = "x", more = 1 }'])
async def test_wrong_arguments_are_told_to_the_model(
    tmp_path: Path, child: Upstream, arguments: str
) -> None:
    script = f'[[turn]]\n[[turn.call]]\nname = "helper"\narguments = {arguments}\n'
    async with parent(tmp_path, at(child), f'{script}\n[[turn]]\ntext = "x"') as agent:
        result = result_of(await turn(agent))
    assert (result.failed, result.result) == (True, "helper takes one argument: task, a text")


# What travels along


async def test_path_trace_deadline_and_rest_of_the_budget_travel_sealed(
    tmp_path: Path, child: Upstream
) -> None:
    budget = "[budget]\ntokens_per_turn = 500\ncalls_per_turn = 9\nseconds_per_turn = 60"
    async with parent(tmp_path, at(child, budget), ASKS) as agent:
        await turn(agent)
    came = journey_of(papers(child.requests[-1]), FLEET, "child")
    assert came.hops == (Hop("parent", FLEET.realm), Hop("child", FLEET.realm))
    assert came.trace is not None
    left = came.allowance
    assert left.tokens is not None
    assert 0 < left.tokens < 500
    assert left.calls == 8
    assert left.seconds is not None
    assert 0 < left.seconds <= 60


async def test_calls_side_by_side_share_what_is_left_and_one_trace(
    tmp_path: Path, child: Upstream
) -> None:
    budget = "[budget]\ncalls_per_turn = 12"
    script = asks(*["helper"] * 4)
    async with parent(tmp_path, at(child, budget), script) as agent:
        await turn(agent)
    sent = [papers(request) for request in child.asked(TURNS)]
    assert [journey_of(one, FLEET, "child").allowance.calls for one in sent] == [2] * 4
    traces = {one[TRACEPARENT].split("-")[1] for one in sent}
    spans = {one[TRACEPARENT].split("-")[2] for one in sent}
    assert (len(traces), len(spans)) == (1, 4)


async def test_an_agent_on_its_own_seals_nothing(tmp_path: Path, child: Upstream) -> None:
    async with parent(tmp_path, at(child), ASKS, key="") as agent:
        await turn(agent)
    assert set(papers(child.requests[-1])) == {HOPS, TRACEPARENT, b"x-atoll-deadline-ms"}


async def test_what_a_child_used_counts_in_the_parents_turn(
    tmp_path: Path, child: Upstream
) -> None:
    used = Usage(prompt_tokens=1000, completion_tokens=200)
    child.on(TURNS, says(Token("x"), ended(usage=used)))
    async with parent(tmp_path, at(child), ASKS) as agent:
        end = (await turn(agent))[-1]
    assert isinstance(end, RunEnd)
    assert end.usage.prompt_tokens > 1000
    assert end.usage.completion_tokens > 200


@pytest.mark.parametrize(
    ("budget", "words"),
    [("tokens_per_turn = 900", "900 tokens"), ("calls_per_turn = 2", "2 calls of tools")],
)
async def test_a_child_can_use_up_its_parents_budget(
    tmp_path: Path, child: Upstream, budget: str, words: str
) -> None:
    made = [ToolCall(f"c{number}", "look", {}) for number in range(2)]
    used = Usage(prompt_tokens=1000)
    child.on(TURNS, says(*made, ended(usage=used)))
    async with parent(tmp_path, at(child, f"[budget]\n{budget}"), ASKS) as agent:
        end = (await turn(agent))[-1]
    assert isinstance(end, Failure)
    assert (end.code, words in end.message) == ("budget_spent", True)


async def test_a_child_that_claims_to_have_used_less_than_nothing_gives_nothing_back(
    tmp_path: Path, child: Upstream
) -> None:
    child.on(TURNS, says(Token("x"), ended(usage=Usage(prompt_tokens=-(10**9)))))
    async with parent(tmp_path, at(child), ASKS) as agent:
        end = (await turn(agent))[-1]
    assert isinstance(end, RunEnd)
    assert end.usage.prompt_tokens > 0


async def test_a_token_is_sent_to_the_child_it_is_for(tmp_path: Path, child: Upstream) -> None:
    tables = at(child, 'auth_token_env = "T"') + f'[sub_agents.plain]\nurl = "{child.url}"\n'
    script = asks("helper") + asks("plain")
    more = {"T": "hush", "ATOLL_AGENT_TOKEN": "the-fleets"}
    async with parent(tmp_path, tables, script, **more) as agent:
        await turn(agent)
        await turn(agent)
    shown = [request.headers.get("authorization") for request in child.asked(TURNS)]
    assert shown == ["Bearer hush", None]


# What goes wrong

LINES = head("application/x-ndjson")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (whole(b"<html>"), "no event of a turn"),
        (says(b"garbage\n"), "no event of a turn"),
        (says(b'{"type":"run_end","answer":5}\n'), "no event of a turn"),
        (says(b"\xff\xfe\n"), "no event of a turn"),
        (says(Token("x"), b"[" * 5000 + b"\n"), "no event of a turn"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "it is not HTTP"),
        ([LINES, piece(b"{" * (9 << 20)), HANG], "longer than"),
        (whole({"detail": "nothing is served"}, "404 Not Found"), "no agent of ATOLL"),
        (whole({"detail": "oh no"}, "500 Internal Server Error"), "answered 500: oh no"),
        (whole({"detail": "wants a token"}, "401 Unauthorized"), "answered 401: wants a token"),
        (whole({"detail": "full"}, "503 Service Unavailable"), "full"),
        (says(Failure("x", "my model is down", "upstream", 502)), "failed: my model is down"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_whatever_a_child_answers_is_a_result_and_the_agent_goes_on(
    tmp_path: Path, child: Upstream, reply: Reply, words: str
) -> None:
    child.on(TURNS, reply)
    async with parent(tmp_path, at(child), ASKS) as agent:
        events = await turn(agent)
        child.on(TURNS, good())
        again = await turn(agent)
    assert result_of(events).failed
    assert words in result_of(events).result
    assert isinstance(events[-1], RunEnd)
    assert not result_of(again).failed


async def test_garbage_is_a_warning_event_besides(tmp_path: Path, child: Upstream) -> None:
    child.on(TURNS, says(b"garbage\n"))
    async with parent(tmp_path, at(child), ASKS) as agent:
        assert "answered what is no event" in warned(await turn(agent))[0]


async def test_a_child_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    async with Upstream() as gone:
        url = gone.url
    async with parent(tmp_path, f'[sub_agents.helper]\nurl = "{url}"', ASKS) as agent:
        result = result_of(await turn(agent))
    assert "nothing listens there; start it, or mend the url" in result.result


async def test_a_child_that_goes_away_before_it_said_anything_is_asked_again(
    tmp_path: Path, child: Upstream
) -> None:
    """Its run may have begun, and what it used to say first is told once."""
    child.on(TURNS, [RESET], says(RESET), good())
    async with parent(tmp_path, at(child), ASKS) as agent:
        events = await turn(agent)
    assert result_of(events).result == "the child is done"
    assert below(events, "helper")[:2] == list(BEGUN)
    assert len(child.asked(TURNS)) == 3


async def test_a_child_that_is_being_replaced_is_asked_again(
    tmp_path: Path, child: Upstream
) -> None:
    """Its old process may still say that it stops, as a status or as the end of what it began."""
    stopping = whole({"detail": "the agent is stopping"}, "503 Service Unavailable")
    told = says(Failure("stopping", "the agent is stopping", "atoll", 503))
    child.on(TURNS, stopping, told, good())
    async with parent(tmp_path, at(child), ASKS) as agent:
        assert not result_of(await turn(agent)).failed


async def test_a_child_that_is_full_is_no_broken_child(tmp_path: Path, child: Upstream) -> None:
    child.on(TURNS, whole({"detail": "full"}, "503 Service Unavailable"))
    async with parent(tmp_path, at(child), ASKS) as agent:
        told = await broken(agent, 8)
    assert not any("left alone" in words for words in told)


class Returning(Upstream):
    """One that listens where another one did."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._at = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._at)
        return self


async def test_a_child_that_restarts_in_mid_call_is_waited_for_while_nobody_listens(
    tmp_path: Path,
) -> None:
    async with Upstream() as before:
        before.on(TURNS, says(HANG))
        port, tables = before.port, at(before)
        async with parent(tmp_path, tables, ASKS) as agent:
            under_way = asyncio.create_task(turn(agent))
            await until(lambda: bool(before.requests))
            await before.__aexit__()  # as a process that is killed
            await asyncio.sleep(0.2)  # longer than it takes to ask again
            assert not under_way.done()
            async with Returning(port) as now:
                now.on(TURNS, good())
                assert result_of(await under_way).result == "the child is done"


async def test_a_task_that_ends_its_child_each_time_is_given_up(
    tmp_path: Path, child: Upstream
) -> None:
    child.on(TURNS, says(RESET))
    async with parent(tmp_path, at(child), ASKS) as agent:
        result = result_of(await turn(agent))
    assert (result.failed, "broke off" in result.result) == (True, True)
    assert len(child.asked(TURNS)) == 5


@pytest.mark.parametrize("said", [Token("half "), ToolCall("c", "send_mail", {})], ids=repr)
async def test_a_child_that_goes_away_in_mid_answer_ends_the_turn_and_is_not_asked_again(
    tmp_path: Path, child: Upstream, said: Token | ToolCall
) -> None:
    child.on(TURNS, says(said, RESET))
    async with parent(tmp_path, at(child), ASKS) as agent:
        end = (await turn(agent))[-1]
        assert len(child.asked(TURNS)) == 1
        child.on(TURNS, good())
        again = [*await turn(agent), *await turn(agent)]  # the script goes on where it stood
    assert isinstance(end, Failure)
    assert (end.code, end.status) == ("child_lost", 502)
    assert "helper went away in mid-answer" in end.message
    assert not result_of(again).failed


async def test_one_lost_child_ends_its_siblings(tmp_path: Path, child: Upstream) -> None:
    async with Upstream() as other:
        begun = asyncio.Event()
        other.on(TURNS, says(Token("x"), HANG))
        child.on(TURNS, says(Token("x"), Hold(begun), RESET))
        tables = f'{at(child)}[sub_agents.other]\nurl = "{other.url}"\n'
        async with parent(tmp_path, tables, asks("helper", "other")) as agent:
            under_way = asyncio.create_task(turn(agent))
            await until(lambda: bool(other.requests))
            begun.set()
            assert isinstance((await under_way)[-1], Failure)
            await until(other.requests[0].abandoned.is_set)


async def test_a_child_that_answers_nothing_for_too_long_is_left_and_hung_up_on(
    tmp_path: Path, child: Upstream
) -> None:
    child.on(TURNS, says(HANG))
    async with parent(tmp_path, at(child, "[budget]\nseconds_per_turn = 0.4"), ASKS) as agent:
        events = await turn(agent)
    end = events[-1]
    assert isinstance(end, Failure)
    assert "more than its 0.4 seconds" in end.message
    await until(child.requests[0].abandoned.is_set)


async def test_who_cancels_the_parent_cancels_its_children(tmp_path: Path, child: Upstream) -> None:
    child.on(TURNS, says(Token("x"), HANG))
    async with parent(tmp_path, at(child), asks(*["helper"] * 3)) as agent:
        under_way = asyncio.create_task(turn(agent))
        await until(lambda: len(child.asked(TURNS)) == 3)
        under_way.cancel()
        await asyncio.wait([under_way])
        await until(lambda: everyone(request.abandoned for request in child.requests), 1.0)
        child.on(TURNS, good())
        assert isinstance((await turn(agent))[-1], RunEnd)


async def test_a_child_that_says_very_much_is_cut_and_told(tmp_path: Path, child: Upstream) -> None:
    flood = line(StepStart(1)) * 6_000
    child.on(TURNS, says(Token("x"), flood, ended("a" * 50_000)))
    async with parent(tmp_path, at(child), ASKS) as agent:
        events = await turn(agent)
    assert len(below(events, "helper")) == 5_000
    assert warned(events) == ["helper says very much: of its events the first 5000 are shown"]
    assert result_of(events).result.endswith("[cut: 30000 characters more]")


async def test_a_child_that_refuses_the_path_is_told_in_its_words(
    tmp_path: Path, child: Upstream
) -> None:
    words = "refused: the delegation goes round in a circle: a → b → a"
    child.on(TURNS, whole({"detail": words}, "508 Loop Detected"))
    async with parent(tmp_path, at(child), ASKS) as agent:
        events = await turn(agent)
    assert result_of(events).result == words
    assert warned(events) == [words]


async def test_an_agent_does_not_ask_itself(tmp_path: Path) -> None:
    async with Upstream() as daemon:
        daemon.on("/api/v1/agents", whole(rows({"slug": "parent", "url": daemon.url})))
        table = '[sub_agents.helper]\nagent = "parent"'
        async with parent(tmp_path, table, ASKS, ATOLL_DAEMON_URL=daemon.url) as agent:
            events = await turn(agent)
    words = "refused: the delegation goes round in a circle: parent → parent"
    assert (result_of(events).result, warned(events)) == (words, [words])


# The breaker


async def broken(agent: Agent, times: int) -> list[str]:
    """The warnings of each of so many turns."""
    return [words for _ in range(times) for words in warned(await turn(agent))]


async def test_five_failures_in_a_row_leave_a_child_alone_and_say_so(
    tmp_path: Path, child: Upstream
) -> None:
    child.on(TURNS, says(b"garbage\n"))
    async with parent(tmp_path, at(child), ASKS) as agent:
        told = await broken(agent, 5)
        events = await turn(agent)
    assert "helper failed again and again: it is left alone for 30 s" in told[-1]
    assert len(child.asked(TURNS)) == 5
    assert "was not asked" in result_of(events).result
    assert "left alone" in warned(events)[0]
    assert isinstance(events[-1], RunEnd)


async def test_a_child_that_rested_is_tried_and_used_again(tmp_path: Path, child: Upstream) -> None:
    child.on(TURNS, says(b"garbage\n"))
    async with parent(tmp_path, at(child, "health_check_interval = 0"), ASKS) as agent:
        await broken(agent, 5)
        child.on(TURNS, good())
        events = await turn(agent)
    assert not result_of(events).failed
    assert "helper answers again" in warned(events)


async def test_what_a_child_answers_in_its_own_words_does_not_open_the_breaker(
    tmp_path: Path, child: Upstream
) -> None:
    child.on(TURNS, says(Failure("x", "no", "agent", 500)))
    async with parent(tmp_path, at(child), ASKS) as agent:
        assert await broken(agent, 7) == []
    assert len(child.asked(TURNS)) == 7


# The fleet


async def test_a_name_is_found_in_the_fleet_and_described_by_its_manifest(
    tmp_path: Path, child: Upstream
) -> None:
    row = {
        "slug": "librarian",
        "url": child.url,
        "description": "Finds texts.",
        "capabilities": ["s"],
    }
    table = '[sub_agents.helper]\nagent = "Librarian"'
    async with Upstream() as daemon:
        daemon.on("/api/v1/agents", whole(rows(row)))
        more = {"ATOLL_DAEMON_URL": daemon.url, "ATOLL_AGENT_TOKEN": "fleet"}
        async with parent(tmp_path, table, asks(*["helper"] * 20), **more) as agent:
            events = await turn(agent)
        assert len(daemon.requests) == 1  # one look for all of them
    results = [event for event in events if isinstance(event, ToolResult)]
    assert not any(result.failed for result in results)
    assert below(events, "librarian")
    assert child.requests[-1].headers["authorization"] == "Bearer fleet"


async def test_without_a_daemon_the_error_names_the_fix(tmp_path: Path) -> None:
    async with Upstream() as gone:
        url = gone.url
    table = '[sub_agents.helper]\nagent = "librarian"'
    async with parent(tmp_path, table, ASKS, ATOLL_DAEMON_URL=url) as agent:
        events = await turn(agent)
    told = result_of(events).result
    assert (
        "nothing listens there; start the fleet with `atoll up`, or name the child by its" in told
    )
    assert isinstance(events[-1], RunEnd)


async def test_what_is_no_daemon_is_said_to_be_none(tmp_path: Path) -> None:
    table = '[sub_agents.helper]\nagent = "librarian"'
    async with Upstream() as other:
        other.on("/api/v1/agents", whole(b"<html>"))
        async with parent(tmp_path, table, ASKS, ATOLL_DAEMON_URL=other.url) as agent:
            assert "is no daemon" in result_of(await turn(agent)).result


async def test_a_daemon_that_went_away_leaves_what_it_told(tmp_path: Path, child: Upstream) -> None:
    table = '[sub_agents.helper]\nagent = "librarian"'
    async with Upstream() as daemon:
        daemon.on("/api/v1/agents", whole(rows({"slug": "librarian", "url": child.url})))
        async with parent(tmp_path, table, ASKS, ATOLL_DAEMON_URL=daemon.url) as agent:
            await turn(agent)
            daemon.on("/api/v1/agents", [RESET])
            while len(daemon.requests) == 1:  # what it told is good for a moment
                assert not result_of(await turn(agent)).failed


async def test_a_name_clash_with_another_tool_is_told_and_the_other_one_is_meant(
    tmp_path: Path, child: Upstream
) -> None:
    folder = tmp_path / "parent"
    tables = at(child) + '[tools]\npython = "../tools.py"'
    (tmp_path / "tools.py").write_text(
        'def helper(task: str) -> str:\n    """Help."""\n    return "own"\n'
    )
    async with parent(tmp_path, tables, ASKS) as agent:
        events = await turn(agent)
    assert folder.is_dir()
    assert result_of(events).result == "own"
    assert "both have a tool called helper" in warned(events)[0]


def test_only_agents_with_children_import_what_children_need() -> None:
    code = (
        "import sys, atoll.server, atoll.loop.opening, atoll.http.app;"
        "print([name for name in sys.modules if name.startswith('atoll.adapters.children')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]", done.stderr
