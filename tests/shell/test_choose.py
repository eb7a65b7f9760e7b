"""The choice of the back end, in the order of DESIGN section 6."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import tomli_w

from atoll.adapters import chooser
from atoll.adapters.choose import Choice, choose, make_model
from atoll.adapters.demo import DemoModel
from atoll.adapters.ollama import OllamaModel
from atoll.adapters.openai import OpenAIModel
from atoll.adapters.scripted import ScriptedModel
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.manifest import Llm
from atoll.config.places import Places, places_of
from atoll.errors import ConfigError
from tests.fakes.collect import ask, collect, text_of
from tests.fakes.upstream import HANG, Upstream, ollama_chat, openai_chat, whole

pytestmark = pytest.mark.anyio


@pytest.fixture
def places(tmp_path: Path) -> Places:
    environ = {"HOME": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    return places_of(environ, os.getuid())


@pytest.fixture(autouse=True)
def no_ollama_here(monkeypatch: pytest.MonkeyPatch):
    """The machine of a developer may run a real Ollama on its port."""
    monkeypatch.setattr(chooser, "OLLAMA_DEFAULT", "http://127.0.0.1:9")


@pytest.fixture
async def ollama(monkeypatch: pytest.MonkeyPatch):
    async with Upstream() as server:
        server.on("/api/tags", whole({"models": [{"name": "first:1b"}, {"name": "second"}]}))
        yield server


def pull(places: Places, name: str, weights: bytes = b"GGUF") -> Path:
    """A pulled model on disk."""
    folder = places.models / name.replace(":", "-")
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(weights)
    card = {"name": name, "licence": "x", "source": "x", "sha256": "x", "size": len(weights)}
    (folder / "model.toml").write_text(tomli_w.dumps(card))
    return folder / "model.gguf"


async def chosen(
    places: Places,
    llm: Llm | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: LlmDefaults | None = None,
) -> Choice:
    return await choose(llm or Llm(), defaults, environ or {}, places)


async def test_with_nothing_at_all_it_is_the_demo(places: Places):
    choice = await chosen(places)
    assert (choice.backend, choice.model) == ("demo", "demo")
    assert "no Ollama answers" in choice.why


async def test_a_pulled_model_beats_the_demo(places: Places):
    pytest.importorskip("xllamacpp")
    path = pull(places, "smollm2:135m")
    choice = await chosen(places)
    assert (choice.backend, choice.model, choice.gguf) == ("local", "smollm2:135m", path)


async def test_a_half_pulled_model_does_not_count(places: Places):
    pull(places, "smollm2:135m").write_bytes(b"GG")
    assert (await chosen(places)).backend == "demo"


async def test_an_ollama_on_this_machine_beats_a_pulled_model(places, ollama, monkeypatch):
    monkeypatch.setattr(chooser, "OLLAMA_DEFAULT", ollama.url)
    pull(places, "smollm2:135m")
    choice = await chosen(places)
    assert (choice.backend, choice.model, choice.base_url) == ("ollama", "first:1b", ollama.url)


async def test_an_ollama_without_models_is_of_no_use(places, ollama, monkeypatch):
    monkeypatch.setattr(chooser, "OLLAMA_DEFAULT", ollama.url)
    ollama.on("/api/tags", whole({"models": []}))
    assert (await chosen(places)).backend == "demo"


async def test_a_port_that_hangs_is_not_waited_for(places, ollama, monkeypatch):
    monkeypatch.setattr(chooser, "OLLAMA_DEFAULT", ollama.url)
    ollama.on("/api/tags", [HANG])
    assert (await chosen(places)).backend == "demo"


@pytest.mark.parametrize("variable", ["ATOLL_OLLAMA_URL", "OLLAMA_HOST"])
async def test_a_configured_ollama_is_taken(places: Places, ollama: Upstream, variable: str):
    choice = await chosen(places, environ={variable: ollama.url})
    assert (choice.backend, choice.model, choice.base_url) == ("ollama", "first:1b", ollama.url)


async def test_the_config_file_of_the_source_system_configures_ollama(places: Places):
    defaults = LlmDefaults(base_url="http://127.0.0.1", port=9, model="llama2")
    choice = await chosen(places, defaults=defaults)
    assert (choice.backend, choice.model) == ("ollama", "llama2")
    assert choice.base_url == "http://127.0.0.1:9"


async def test_a_configured_ollama_that_is_down_stays_chosen(places: Places):
    """Never a silent change to something else: the agent says that it is down."""
    environ = {"OLLAMA_HOST": "127.0.0.1:9"}
    assert (await chosen(places, environ=environ)).backend == "ollama"


async def test_the_fleets_default_beats_what_could_be_found(places: Places, ollama: Upstream):
    environ = {"ATOLL_DEFAULT_LLM": "demo", "OLLAMA_HOST": ollama.url}
    assert (await chosen(places, environ=environ)).backend == "demo"
    environ = {"ATOLL_DEFAULT_LLM": "ollama:llama3.2:1b", "OLLAMA_HOST": ollama.url}
    assert (await chosen(places, environ=environ)).model == "llama3.2:1b"


async def test_the_fleets_default_does_not_beat_the_manifest(places: Places):
    choice = await chosen(places, Llm(provider="scripted"), {"ATOLL_DEFAULT_LLM": "demo"})
    assert choice.backend == "scripted"


async def test_a_default_that_names_no_back_end_is_an_error(places: Places):
    with pytest.raises(ConfigError, match="ATOLL_DEFAULT_LLM"):
        await chosen(places, environ={"ATOLL_DEFAULT_LLM": "gpt"})


@pytest.mark.parametrize(
    ("llm", "backend"),
    [
        (Llm(model="llama3.2"), "ollama"),
        (Llm(base_url="http://127.0.0.1:9"), "ollama"),
        (Llm(base_url="http://127.0.0.1:9/v1"), "openai"),
        (Llm(api_key_env="KEY", model="x"), "openai"),
        (Llm(script="script.toml"), "scripted"),
        (Llm(temperature=0.1, system_prompt="x"), "demo"),
    ],
)
async def test_without_a_provider_the_other_keys_imply_it(places: Places, llm: Llm, backend: str):
    assert (await chosen(places, llm)).backend == backend


async def test_a_pulled_name_implies_local(places: Places):
    path = pull(places, "smollm2:135m")
    assert (await chosen(places, Llm(model="SmolLM2:135m"))).gguf == path


async def test_a_gguf_path_counts_from_the_agents_folder(places: Places, tmp_path: Path):
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    choice = await choose(Llm(provider="local", model="own.gguf"), None, {}, places, tmp_path)
    assert (choice.model, choice.gguf) == ("own", tmp_path / "own.gguf")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("smollm2:135m", "run `atoll pull smollm2:135m`"),
        (None, "run `atoll pull smollm2:135m`"),
        ("no/such.gguf", "no such file"),
        ("gpt-7", "models that can be pulled: smollm2:135m"),
    ],
)
async def test_a_local_model_that_is_not_here_says_how_to_get_it(places, model, said: str):
    with pytest.raises(ConfigError, match=said):
        await chosen(places, Llm(provider="local", model=model))


async def test_a_base_url_that_is_none_is_an_error(places: Places):
    with pytest.raises(ConfigError, match=r"no http\(s\) URL"):
        await chosen(places, Llm(provider="openai", base_url="nonsense"))


async def made(places: Places, llm: Llm, environ: Mapping[str, str], folder: Path):
    choice = await choose(llm, None, environ, places, folder)
    return make_model(choice, llm, folder, places, environ)


async def test_the_adapters_talk_to_what_was_chosen(places: Places, tmp_path: Path):
    async with Upstream() as server:
        server.on("/api/chat", ollama_chat("native"))
        server.on("/v1/chat/completions", openai_chat("compatible"))
        environ = {"KEY": "sk-1"}
        native = Llm(provider="ollama", model="m", base_url=server.url)
        compatible = Llm(provider="openai", model="m", base_url=server.url, api_key_env="KEY")
        for llm, kind, said in (
            (native, OllamaModel, "native"),
            (compatible, OpenAIModel, "compatible"),
        ):
            model = await made(places, llm, environ, tmp_path)
            assert isinstance(model, kind)
            assert text_of(await collect(model, ask())) == said
            await model.close()
        assert server.requests[-1].headers["authorization"] == "Bearer sk-1"


async def test_a_missing_key_variable_is_told_by_name(places: Places, tmp_path: Path):
    with pytest.raises(ConfigError, match="variable NO_SUCH_KEY is not set"):
        await made(places, Llm(provider="openai", api_key_env="NO_SUCH_KEY"), {}, tmp_path)


async def test_demo_and_script_need_nothing(places: Places, tmp_path: Path):
    assert isinstance(await made(places, Llm(provider="demo"), {}, tmp_path), DemoModel)
    assert isinstance(await made(places, Llm(provider="scripted"), {}, tmp_path), ScriptedModel)


async def test_a_missing_script_is_an_error_at_start(places: Places, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"script\.toml.*cannot be read"):
        await made(places, Llm(provider="scripted", script="script.toml"), {}, tmp_path)


async def test_a_local_model_without_the_engine_names_the_extra(places, tmp_path, monkeypatch):
    from atoll.adapters import choose as door

    monkeypatch.setattr(door, "has_engine", lambda: False)
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"pip install 'atoll\[local\]'"):
        await made(places, Llm(provider="local", model="own.gguf"), {}, tmp_path)
