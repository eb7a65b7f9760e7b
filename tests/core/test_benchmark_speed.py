"""What the benchmarks of speed conclude from their figures: tokens, chats, the gateway."""

import argparse

from benchmarks import gateway
from benchmarks.chat import table as chat
from benchmarks.token_path import table as tokens
from benchmarks.token_path.dialects import OLLAMA, openai


def row(text: str, title: str) -> list[str]:
    """The cells of the first line that begins with the title."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def all_of(added: float, many: float) -> dict[str, tokens.Figures]:
    return {
        tokens.MODEL: tokens.Figures([0.00002, 9.0, 0.00001], [300_000]),
        tokens.FLOOR: tokens.Figures([0.00010], [280_000]),
        tokens.AGENT: tokens.Figures([0.00002 + added], [many]),
        tokens.HTTPX: tokens.Figures([0.0006], [70_000]),
    }


def test_the_first_token_is_told_by_what_each_adds_to_the_model_alone() -> None:
    text, held = tokens.table(all_of(0.00015, 150_000))
    assert held
    assert row(text, "first token") == [
        "first token, one client", "0.020 ms", "+0.080 ms", "+0.150 ms", "+0.580 ms", "-",
        "+0.15 ms", "yes",
    ]  # fmt: skip
    assert row(text, "tokens a second")[1:6] == ["300,000", "280,000", "150,000", "70,000", "-"]


def test_litellm_has_its_column_when_it_was_there() -> None:
    figures = all_of(0.0001, 200_000) | {tokens.PEER: tokens.Figures([0.00942], [2_000])}
    text, _ = tokens.table(figures)
    assert row(text, "what")[5] == "LiteLLM"
    assert [row(text, title)[5] for title in ("first", "tokens")] == ["+9.400 ms", "2,000"]


def test_either_goal_of_the_token_path_can_be_missed() -> None:
    for added, many, verdicts in ((0.00016, 150_000, ["**no**", "yes"]),
                                  (0.00015, 149_999, ["yes", "**no**"])):  # fmt: skip
        text, held = tokens.table(all_of(added, many))
        assert not held
        assert [row(text, title)[-1] for title in ("first", "tokens")] == verdicts


def test_the_tokens_of_both_dialects_are_counted_without_the_end_of_the_answer() -> None:
    """Ollama ends with a line of figures, OpenAI with an empty delta and [DONE]."""
    assert OLLAMA.tokens(501) == 500
    assert openai("sk-key").tokens(2 * 500 + 4) == 500
    assert openai("sk-key").tokens(2 * 499 + 4) == 499


def test_chats_are_held_against_both_applications() -> None:
    rates = {chat.RAW: [1.0, 40_000, 50_000], chat.FASTAPI: [8_000], chat.AGENT: [24_000]}
    text, held = chat.table(rates, [0.004, 0.005, 0.006])
    assert held
    cells = ["-", "40,000", "8,000", "24,000"]
    assert row(text, "chats")[1:] == [*cells, "≥ 60% of raw = 24,000", "yes"]
    assert row(text, "the same")[1:] == [*cells, "≥ 3 x FastAPI = 24,000", "yes"]
    assert row(text, "`/api/show`")[-3:] == ["5.00 ms", "≤ 5.00 ms", "yes"]


def test_each_goal_of_the_chats_can_be_missed() -> None:
    good = {chat.RAW: [40_000.0], chat.FASTAPI: [8_000.0], chat.AGENT: [24_000.0]}
    for worse, show in (({chat.RAW: [40_002.0]}, 0.005), ({chat.FASTAPI: [8_001.0]}, 0.005),
                        ({}, 0.0051)):  # fmt: skip
        text, held = chat.table(good | worse, [show])
        assert not held
        assert text.count("**no**") == 1


def test_without_fastapi_nothing_is_held_against_it() -> None:
    text, held = chat.table({chat.RAW: [40_000], chat.AGENT: [24_000]}, [0.001])
    assert held
    assert "FastAPI =" not in text
    assert row(text, "chats")[3] == "-"


def test_the_gateway_is_judged_by_what_it_adds_in_each_round() -> None:
    """The rounds differ more than the two ways of one round do."""
    figures = gateway.Figures([0.001, 0.002, 0.009], [0.0014, 0.0024, 0.0094], [0.05, 0.2, 0.1])
    options = argparse.Namespace(rounds=3, requests=50, agents=100)
    text = gateway.table(figures, options)
    assert row(text, "what the gateway adds")[1:3] == ["0.40 ms", "0.40 ms"]
    assert row(text, "`/api/tags`")[1:] == ["100.00 ms", "100.00 ms", "yes"]
    slower = figures._replace(lists=[0.11], gateway=[0.0015, 0.0025, 0.0095])
    assert gateway.table(slower, options).count("**no**") == 2
