"""From a manifest to the Model adapter it asks for; `chooser` has the order of choice."""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from atoll.adapters.chooser import Choice, Chooser, has_engine
from atoll.adapters.clock import SystemClock
from atoll.adapters.demo import DemoModel
from atoll.adapters.host import Host, OwnHost, SupervisedHost, host_socket
from atoll.adapters.local import LocalModel, host_peer
from atoll.adapters.ollama import OllamaModel, ollama_peer
from atoll.adapters.openai import OpenAIModel, openai_peer
from atoll.adapters.private import private_directory
from atoll.adapters.scripted import ScriptedModel, load_script
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.manifest import Llm
from atoll.config.places import Places
from atoll.errors import ConfigError, Problem
from atoll.ports import Model

__all__ = ["Choice", "choose", "make_model"]


async def choose(
    llm: Llm,
    given_defaults: LlmDefaults | None,
    environ: Mapping[str, str],
    places: Places,
    folder: Path = Path(),
) -> Choice:
    """Choose a back end; raises ConfigError for one that is named and cannot work.

    A relative GGUF path counts from `folder`, the agent's own.
    """
    return await Chooser(llm, given_defaults or LlmDefaults(), environ, places, folder).choose()


def make_model(
    choice: Choice, llm: Llm, folder: Path, places: Places, environ: Mapping[str, str]
) -> Model:
    """The adapter for a choice; connects to nothing yet.

    Raises ConfigError for a missing script, GGUF, engine or key variable.
    """
    clock, timeout = SystemClock(), llm.request_timeout
    match choice.backend:
        case "ollama":
            peer = ollama_peer(choice.base_url, timeout, _api_key(llm, environ))
            return OllamaModel(peer, choice.model, clock)
        case "openai":
            peer = openai_peer(choice.base_url, timeout, _api_key(llm, environ))
            return OpenAIModel(peer, choice.model, clock)
        case "local":
            return _local(choice, llm, folder, places, environ)
        case "demo":
            return DemoModel(clock)
        case "scripted":
            return ScriptedModel(load_script(folder, llm.script), choice.model, clock)
    assert_never(choice.backend)


def _local(
    choice: Choice, llm: Llm, folder: Path, places: Places, environ: Mapping[str, str]
) -> Model:
    gguf = folder / (choice.gguf or "")
    if not gguf.is_file():
        raise _bad("[llm] model", f"cannot load {str(gguf)!r}: no such file", "")
    if not has_engine():
        hint = "provider local needs the extra: pip install 'atoll[local]'"
        raise _bad("[llm] provider", "the engine xllamacpp is not installed", hint)
    private_directory(places.runtime)
    socket, timeout = host_socket(places, gguf), llm.request_timeout
    host: Host = OwnHost(gguf, choice.model, socket, environ, timeout)
    if "ATOLL_SUPERVISED" in environ:
        host = SupervisedHost(socket, timeout)
    peer = host_peer(socket, choice.model, timeout)
    return LocalModel(peer, gguf, choice.model, host, SystemClock())


def _api_key(llm: Llm, environ: Mapping[str, str]) -> str:
    if not llm.api_key_env:
        return ""
    if key := environ.get(llm.api_key_env, "").strip():
        return key
    hint = f"export {llm.api_key_env}=… before starting ATOLL"
    raise _bad("[llm] api_key_env", f"the variable {llm.api_key_env} is not set", hint)


def _bad(where: str, message: str, hint: str) -> ConfigError:
    return ConfigError(Problem(file=where, message=message, hint=hint))
