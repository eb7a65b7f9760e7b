"""fleet-rlm's variables fill what a manifest leaves out (row RL4)."""

from pathlib import Path

import pytest

from atoll.config.load import load_manifest
from atoll.config.manifest import Manifest
from atoll.errors import ConfigError

HEAD = '[agent]\nname = "X"\n'


def loaded(folder: Path, text: str = "", **environ: str) -> Manifest:
    path = folder / "agent.toml"
    path.write_text(HEAD + text)
    return load_manifest(path, environ).manifest


def test_each_of_the_three_has_its_effect(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, RLM_MAX_STEPS="7", RLM_SERVER_TIMEOUT="90", DSPY_LM_MODEL="openai/gpt-4o"
    )
    assert (found.loop.max_steps, found.budget.seconds_per_turn) == (7, 90)
    assert (found.llm.provider, found.llm.model) == ("openai", "gpt-4o")


def test_what_the_manifest_says_wins(tmp_path: Path) -> None:
    text = "[loop]\nmax_steps = 3\n[budget]\nseconds_per_turn = 5\n"
    text += '[llm]\nprovider = "ollama"\nmodel = "m"\n'
    found = loaded(
        tmp_path, text, RLM_MAX_STEPS="7", RLM_SERVER_TIMEOUT="90", DSPY_LM_MODEL="openai/x"
    )
    assert (found.loop.max_steps, found.budget.seconds_per_turn) == (3, 5)
    assert (found.llm.provider, found.llm.model) == ("ollama", "m")


@pytest.mark.parametrize(
    ("text", "model"), [("llama3.2", "llama3.2"), ("gemini/flash", "gemini/flash"), (" ", "")]
)
def test_a_model_without_a_known_provider_is_a_name_alone(
    tmp_path: Path, text: str, model: str
) -> None:
    found = loaded(tmp_path, DSPY_LM_MODEL=text)
    plain = loaded(tmp_path)
    assert found.llm.provider == plain.llm.provider
    assert found.llm.model == (model or plain.llm.model)


@pytest.mark.parametrize("variable", ["RLM_MAX_STEPS", "RLM_SERVER_TIMEOUT"])
@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5"])
def test_a_value_that_is_no_number_names_the_variable(
    tmp_path: Path, variable: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"{variable}: '{value}' is no number") as caught:
        loaded(tmp_path, **{variable: value})
    assert f"unset {variable}" in str(caught.value)
