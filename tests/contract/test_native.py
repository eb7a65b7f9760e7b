"""`POST /api/v1/turns`, and what travels with a delegated call on every route (S41)."""

import json

import httpx
import msgspec
import pytest

from atoll.config.manifest import Budget
from atoll.core.hops import Hop
from atoll.core.papers import Journey, papers_of
from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, ModelInfo
from atoll.wire.events import Event, Failure, RunEnd, RunStart, StepStart, Token, ToolCall
from atoll.wire.messages import Call, Usage
from tests.arch.tree import ROOT
from tests.contract.test_kawai_page import CURL, PAGE, shell
from tests.fakes.daemon import PLAIN, eventually
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import MANIFEST, EndlessModel, Served, serving

PATH = "/api/v1/turns"
LIMIT = 20
HI = {"messages": [{"role": "user", "content": "hi"}]}


def ask(served: Served, body: object = HI, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(
        f"{served.url}{PATH}", json=body, headers=headers, timeout=LIMIT, verify=PLAIN
    )


def events_of(answer: httpx.Response) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in answer.content.splitlines()]


def path_to(served: Served, *names: str, realm: str = "") -> dict[str, str]:
    """The headers that these agents, the last one of them calling, would send."""
    seal = served.agent.seal
    hops = tuple(Hop(name, realm or seal.realm) for name in names)
    papers = papers_of(Journey(hops=hops), seal, "1" * 16)
    return {name.decode(): value for name, value in papers.items()}


def test_every_event_of_a_turn_is_a_line(served: Served) -> None:
    answer = ask(served)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-accel-buffering"] == "no"
    first, step, *tokens, last = events_of(answer)
    assert isinstance(first, RunStart)
    assert (first.model, first.prompt) == ("ghidraagent", "hi")
    assert step == StepStart(0)
    assert "".join(one.text for one in tokens if isinstance(one, Token)) == "Hello wörld"
    assert isinstance(last, RunEnd)
    assert (last.answer, last.usage.prompt_tokens) == ("Hello wörld", 7)


@CURL
def test_the_command_of_our_own_page_works(served: Served) -> None:
    page = (ROOT / "docs" / "dialects.md").read_text().partition("## `/api/v1/turns`")[2]
    command = next(line.strip() for line in page.splitlines() if line.startswith("    curl "))
    told = shell(command.replace("http://127.0.0.1:8100", PAGE), served).splitlines()
    assert json.loads(told[-1])["answer"] == "Hello wörld"


def test_a_conversation_is_sent_whole_and_nothing_of_it_is_kept(
    served: Served, model: FakeModel
) -> None:
    said = [("user", "a"), ("assistant", "b"), ("user", "c")]
    ask(served, {"messages": [{"role": role, "content": words} for role, words in said]})
    told = [(one.role, one.content) for one in model.requests[-1].messages]
    assert told[-3:] == said
    assert httpx.get(f"{served.url}/sessions", timeout=LIMIT).json()["count"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user"}]},
        {"message": "hi"},
        HI | {"max_steps": 0},
        HI | {"model": "x"},
    ],
)
def test_a_body_that_is_none_is_400_and_says_why(served: Served, body: object) -> None:
    answer = ask(served, body)
    assert (answer.status_code, answer.json()["who"]) == (400, "client")


def test_a_turn_that_fails_has_its_reason_and_what_it_used_as_the_last_line(tmp_path) -> None:
    called: list[Chunk] = [CallsDelta((Call("c1", "look", {}),)), Done("stop", USAGE)]
    native = ModelInfo(backend="scripted", model="m", capabilities=("completion", "tools"))
    model = FakeModel(called, UpstreamRefused("nothing listens"), info=native)
    with serving(model, tmp_path, tools=FakeTools(look="seen")) as served:
        last = events_of(ask(served))[-1]
    used = Usage(prompt_tokens=7, completion_tokens=3, load_ns=1, prompt_ns=20, completion_ns=30)
    assert last == Failure("upstream_refused", "nothing listens", "upstream", 502, used)


def test_a_client_that_hangs_up_ends_the_turn_within_a_second(tmp_path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        with httpx.stream("POST", f"{served.url}{PATH}", json=HI, timeout=LIMIT) as answer:
            next(answer.iter_lines())
        assert model.stopped.wait(1.0)


def test_other_methods_and_types_are_refused(served: Served) -> None:
    assert httpx.get(f"{served.url}{PATH}", timeout=LIMIT).status_code == 405
    typed = httpx.post(f"{served.url}{PATH}", content=b"{}", timeout=LIMIT)
    assert typed.status_code == 415


# What travels along

ROUTES = {
    PATH: HI,
    "/chat": {"message": "hi"},
    "/api/chat": {"model": "llama2", "stream": False, **HI},
    "/v1/chat/completions": {"model": "llama2", **HI},
    "/v1/messages": {"model": "llama2", "max_tokens": 9, **HI},
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("forged", "status", "words"),
    [
        ({"x-atoll-hops": "a"}, 400, "list of agents"),
        ({"x-atoll-budget": "tokens=lots"}, 400, "whole numbers"),
        ({"x-atoll-seal": "0" * 64}, 400, "seal"),
        (None, 508, "a → ghidraagent → b → ghidraagent"),
    ],
    ids=["malformed", "budget", "seal", "circle"],
)
def test_bad_papers_are_refused_in_the_words_of_every_dialect(
    served: Served, route: str, forged: dict[str, str] | None, status: int, words: str
) -> None:
    headers = path_to(served, "a", "ghidraagent", "b") if forged is None else forged
    answer = httpx.post(
        f"{served.url}{route}", json=ROUTES[route], headers=headers, timeout=LIMIT, verify=PLAIN
    )
    assert answer.status_code == status
    assert words in answer.text
    assert json.loads(answer.text)


def test_a_list_that_claims_this_fleet_without_its_seal_is_refused(tmp_path) -> None:
    """Also cut, or in another order; an agent of the fleet that seals it is let in."""
    with serving(FakeModel(text("x")), tmp_path, key="the key") as served:
        good = path_to(served, "a", "b")
        names = good["x-atoll-hops"].split(",")
        for hops in (names[:1], names[1:], names[::-1], [*names, names[0].replace("a@", "c@")]):
            answer = ask(served, headers=good | {"x-atoll-hops": ",".join(hops)})
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_hops")
        assert ask(served, headers={**good, "x-atoll-seal": ""}).status_code == 400
        assert ask(served, headers=good).status_code == 200


def test_the_tenth_agent_of_a_path_answers_and_the_eleventh_refuses(served: Served) -> None:
    names = [f"a{number}" for number in range(1, 11)]
    assert ask(served, headers=path_to(served, *names[:9])).status_code == 200
    answer = ask(served, headers=path_to(served, *names))
    assert answer.status_code == 508
    assert " → ".join([*names, "ghidraagent"]) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x-atoll-budget": "tokens=9"}, "more than the 9 tokens that its caller had left"),
        ({"x-atoll-budget": "calls=0"}, "more than the 0 calls of tools that its caller had left"),
    ],
)
def test_the_rest_of_a_callers_budget_binds_the_turn(
    tmp_path, given: dict[str, str], words: str
) -> None:
    called: list[Chunk] = [CallsDelta((Call("c1", "look", {}),)), Done("stop", USAGE)]
    native = ModelInfo(backend="scripted", model="m", capabilities=("completion", "tools"))
    model = FakeModel(called, text("x"), info=native)
    with serving(model, tmp_path, tools=FakeTools(look="seen")) as served:
        last = events_of(ask(served, headers=given))[-1]
    assert isinstance(last, Failure)
    assert (last.code, words in last.message) == ("budget_spent", True)


def test_a_callers_budget_shortens_the_answer_that_a_model_may_give(
    served: Served, model: FakeModel
) -> None:
    ask(served, headers={"x-atoll-budget": "tokens=50"})
    assert model.requests[-1].options.max_tokens == 50


def test_a_callers_deadline_ends_a_turn_that_speaks_on(tmp_path) -> None:
    model = EndlessModel()
    manifest = msgspec.structs.replace(MANIFEST, budget=Budget(seconds_per_turn=60))
    with serving(model, tmp_path, manifest=manifest) as served:
        last = events_of(ask(served, headers={"x-atoll-deadline-ms": "200"}))[-1]
        eventually(model.stopped.is_set)
    assert isinstance(last, Failure)
    assert "the 0.2 seconds that its caller had left" in last.message


def test_a_tool_call_is_told_with_its_arguments(tmp_path) -> None:
    called: list[Chunk] = [CallsDelta((Call("c1", "look", {"at": 1}),)), Done("stop", USAGE)]
    native = ModelInfo(backend="scripted", model="m", capabilities=("completion", "tools"))
    with serving(
        FakeModel(called, text("x"), info=native), tmp_path, tools=FakeTools(look="seen")
    ) as served:
        events = events_of(ask(served))
    assert ToolCall("c1", "look", {"at": 1}) in events
