"""`/api/generate` over real HTTP: rows B of ollama-api.md section 8."""

import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Llm, Manifest
from atoll.ports import ModelInfo
from tests.fakes.asking import IMAGE, METRICS, chat, error, generate, lines, post
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import Served, serving

_SENT = (
    "mirostat mirostat_eta mirostat_tau num_ctx num_gpu num_thread repeat_last_n repeat_penalty"
    " temperature stop tfs_z top_k top_p"
)
LANGCHAINS = dict.fromkeys(_SENT.split())
"""The 13 options that langchain-ollama always sends with its embeddings, all null."""


def expiry(served: Served) -> float:
    """When ps says that the model will be gone, in seconds since the epoch."""
    (row,) = requests.get(served.url + "/api/ps", timeout=10).json()["models"]
    return datetime.fromisoformat(row["expires_at"]).timestamp()


def test_b1_generate_streams_when_nothing_is_said(served: Served) -> None:
    answer = generate(served)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-accel-buffering"] == "no"
    chunks = lines(answer)
    assert [chunk["response"] for chunk in chunks] == ["Hel", "lo ", "wörld", ""]
    assert [chunk["done"] for chunk in chunks] == [False, False, False, True]
    assert not any("error" in chunk for chunk in chunks)


def test_b2_b3_one_object_with_measured_metrics(served: Served) -> None:
    answer = generate(served, stream=False)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json()["response"] == "Hello wörld"
    assert answer.json()["done_reason"] == "stop"
    assert all(answer.json()[key] > 0 for key in METRICS)


def test_b4_context_continues_the_conversation_and_can_branch(
    served: Served, model: FakeModel
) -> None:
    first = lines(generate(served, prompt="one"))
    assert all("context" not in chunk for chunk in first[:-1])
    context = first[-1]["context"]
    assert isinstance(context, list)
    assert all(isinstance(number, int) for number in context)
    generate(served, prompt="two", context=context)
    generate(served, prompt="three", context=context)
    said = [[m.content for m in asked.messages if m.role != "system"] for asked in model.requests]
    assert said[1:] == [["one", "Hello wörld", "two"], ["one", "Hello wörld", "three"]]


def test_an_unknown_context_is_an_error_and_not_forgetting(served: Served) -> None:
    status, message = error(generate(served, context=[1, 2, 3]))
    assert status == 400
    assert "context" in str(message)
    assert generate(served, context=[]).status_code == 200


def test_b5_system_comes_after_the_manifests_own(tmp_path: Path) -> None:
    manifest = Manifest(agent=AgentTable(name="GhidraAgent"), llm=Llm(system_prompt="Own."))
    model = FakeModel(text("ok"))
    with serving(model, tmp_path, manifest=manifest) as served:
        generate(served, system="Mine.")
    systems = " ".join(m.content for m in model.requests[0].messages if m.role == "system")
    assert systems.index("Own.") < systems.index("Mine.")


def test_b6_raw_sends_the_prompt_alone_and_has_no_context(served: Served, model: FakeModel) -> None:
    answer = generate(served, prompt="<s>x", raw=True, stream=False).json()
    assert "context" not in answer
    assert model.requests[0].raw_prompt == "<s>x"
    assert model.requests[0].messages == ()


def test_b7_raw_with_system_is_refused(served: Served) -> None:
    wanted = "raw mode does not support template, system, or context"
    assert error(generate(served, raw=True, system="s")) == (400, wanted)


def test_b8_suffix_is_refused_with_the_full_name(served: Served) -> None:
    wanted = "ghidraagent:latest does not support insert"
    assert error(generate(served, suffix="}")) == (400, wanted)


def test_b8_suffix_reaches_a_model_that_inserts(tmp_path: Path) -> None:
    able = ModelInfo(backend="scripted", model="m", capabilities=("completion", "insert"))
    model = FakeModel(text("return"), info=able)
    with serving(model, tmp_path) as served:
        answer = generate(served, prompt="def f(): ", suffix=" 1", stream=False).json()
        assert "insert" in post(served, "/api/show", model="llama2").json()["capabilities"]
    assert (answer["response"], "context" in answer) == ("return", False)
    assert (model.requests[0].raw_prompt, model.requests[0].suffix) == ("def f(): ", " 1")


def test_b9_c11_images_reach_a_model_that_sees(thinker: Served, served: Served) -> None:
    message = {"role": "user", "content": "what is it", "images": [IMAGE]}
    for answer in (generate(thinker, images=[IMAGE]), chat(thinker, messages=[message])):
        assert answer.status_code == 200
    assert error(generate(served, images=[IMAGE]))[0] == 400
    assert error(generate(thinker, images=["no base64!"]))[0] == 400
    assert error(chat(served, messages=[message]))[0] == 400


@pytest.mark.parametrize("more", [{"raw": True}, {"suffix": "}"}])
def test_b9_images_are_not_lost_in_silence(thinker: Served, more: dict[str, object]) -> None:
    status, message = error(generate(thinker, images=[IMAGE], **more))
    assert (status, "images" in str(message)) == (400, True)


def test_fields_for_upstreams_own_tests_are_ignored(served: Served) -> None:
    answer = generate(served, _debug_render_only=True, shift=True, truncate=False, stream=False)
    assert (answer.status_code, answer.json()["response"]) == (200, "Hello wörld")


def test_an_empty_prompt_is_checked_before_the_model_is_loaded(served: Served) -> None:
    wanted = (400, '"ghidraagent" does not support thinking')
    assert error(generate(served, prompt="", think=True)) == wanted
    assert error(chat(served, messages=[], think=True)) == wanted
    assert requests.get(served.url + "/api/ps", timeout=10).json() == {"models": []}


@pytest.mark.parametrize("absent", ["", None])
def test_b12_an_empty_format_is_none(served: Served, model: FakeModel, absent: object) -> None:
    assert generate(served, format=absent).status_code == 200
    assert model.requests[0].format is None


def test_b10_b11_format_reaches_the_model(served: Served, model: FakeModel) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    chat(served, format="json")
    chat(served, format=schema)
    assert [asked.format for asked in model.requests] == ["json", schema]
    assert error(chat(served, format="xml"))[0] == 400


@pytest.mark.parametrize(
    "options",
    [None, {}, {"mirostat": 1, "tfs_z": 0.5}, {"temperature": None, "stop": None}, LANGCHAINS],
)
def test_b13_b14_null_and_unknown_options_are_ignored(served: Served, options: object) -> None:
    assert generate(served, options=options).status_code == 200


def test_options_reach_the_model_and_whole_numbers_are_cut(
    served: Served, model: FakeModel
) -> None:
    given = {"temperature": 0, "num_predict": 7.9, "stop": ["x"], "num_ctx": 512}
    generate(served, options=given)
    options = model.requests[0].options
    assert (options.temperature, options.max_tokens, options.stop) == (0, 7, ("x",))
    assert options.extra == {"num_ctx": 512}


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("temperature", "hot", "float32"),
        ("temperature", True, "float32"),
        ("num_ctx", "many", "integer"),
        ("seed", 1e300, "integer"),
        ("stop", "x", "array"),
        ("use_mmap", 1, "boolean"),
    ],
)
def test_an_option_of_the_wrong_type_is_named(
    served: Served, key: str, value: object, kind: str
) -> None:
    wanted = f'option "{key}" must be of type {kind}'
    assert error(generate(served, options={key: value})) == (400, wanted)


@pytest.mark.parametrize("prompt", ["", None])
def test_b15_b16_an_empty_prompt_loads_and_unloads(served: Served, prompt: object) -> None:
    loaded = generate(served, prompt=prompt)
    assert loaded.headers["content-type"].startswith("application/json")
    assert (loaded.json()["done"], loaded.json()["done_reason"]) == (True, "load")
    assert requests.get(served.url + "/api/ps", timeout=10).json()["models"]
    assert generate(served, prompt=prompt, keep_alive=0).json()["done_reason"] == "unload"
    assert requests.get(served.url + "/api/ps", timeout=10).json() == {"models": []}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("5m", 300), (300, 300), ("1h30m", 5400), (90.5, 90.5), (None, 300)],
)
def test_b17_keep_alive_is_seen_in_ps(served: Served, given: object, seconds: float) -> None:
    before = time.time()
    assert generate(served, keep_alive=given).status_code == 200
    assert before + seconds - 1 <= expiry(served) <= time.time() + seconds + 1


@pytest.mark.parametrize("given", [-1, "-1s", -0.5])
def test_b17_a_negative_keep_alive_is_for_ever(served: Served, given: object) -> None:
    generate(served, keep_alive=given)
    assert expiry(served) > time.time() + 100 * 365 * 86400


@pytest.mark.parametrize("given", [0, "0", "0s"])
def test_b17_keep_alive_0_is_gone_at_once(served: Served, given: object) -> None:
    assert generate(served, keep_alive=given).status_code == 200
    assert requests.get(served.url + "/api/ps", timeout=10).json() == {"models": []}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("5 parsecs", 'time: unknown unit " parsecs" in duration "5 parsecs"'),
        ("soon", 'time: invalid duration "soon"'),
        (True, "Unsupported type: 'bool'"),
        ([], "Unsupported type: 'list'"),
    ],
)
def test_b17_a_wrong_keep_alive_gets_gos_words(served: Served, given: object, wanted: str) -> None:
    assert error(generate(served, keep_alive=given)) == (400, wanted)


def test_b18_thinking_comes_first(thinker: Served) -> None:
    for level in (True, "low", "max"):
        chunks = lines(generate(thinker, think=level))
        assert [chunk.get("thinking") for chunk in chunks] == ["hmm", None, None]
    whole = generate(thinker, think="high", stream=False).json()
    assert (whole["thinking"], whole["response"]) == ("hmm", "yes")


def test_b18_c9_think_on_a_model_without_it(served: Served) -> None:
    assert error(generate(served, think=True)) == (400, '"ghidraagent" does not support thinking')
    assert generate(served, think=False).status_code == 200
    assert chat(served, think=False).status_code == 200
    assert error(chat(served, think="bogus")) == (
        400,
        'invalid think value: "bogus" (must be "high", "medium", "low", "max", true, or false)',
    )
