"""Which back end an agent runs on (DESIGN section 6), and the adapter for it.

The order, first match wins:

1. what the manifest names: `provider`, or what its other keys imply;
2. `ATOLL_DEFAULT_LLM`, by which a daemon chooses once for its whole fleet;
3. a configured Ollama: `ATOLL_OLLAMA_URL`, `OLLAMA_HOST`, `.ollama_config.json`;
4. an Ollama that answers on this machine's port 11434;
5. a pulled local model, when the engine is installed;
6. `demo`, which says that it is no language model.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never, get_args

from msgspec import Struct

from atoll.adapters.addresses import OLLAMA_DEFAULT, ollama_host, whole_url
from atoll.adapters.ollama import first_listed, ollama_peer
from atoll.adapters.pulled import CATALOGUE, find_pulled, known, pulled
from atoll.adapters.upstream import Upstream
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.manifest import Llm
from atoll.config.places import Places
from atoll.errors import ConfigError, Problem, UpstreamError
from atoll.ports import Backend

LOOK_TIMEOUT = 0.5
"""Seconds for the question whether an Ollama runs here."""
OPENAI_DEFAULT = "https://api.openai.com/v1"


class Choice(Struct, frozen=True, kw_only=True):
    """A back end and why it was taken. `gguf` is absolute; "" and None mean: has none."""

    backend: Backend
    model: str
    why: str
    base_url: str = ""
    gguf: Path | None = None


class Chooser(Struct, frozen=True):
    """What a choice is made from."""

    llm: Llm
    defaults: LlmDefaults
    environ: Mapping[str, str]
    places: Places
    folder: Path

    async def choose(self) -> Choice:
        """Go through the order of the module's text."""
        if backend := self.llm.provider or self._implied():
            return await self._named(backend, self.llm.model, "named in the manifest")
        if given := self.environ.get("ATOLL_DEFAULT_LLM"):
            return await self._default(given)
        if url := self._configured():
            return await self._ollama(url, None, "configured")
        return await self._detected()

    def _implied(self) -> Backend | None:
        """The provider that the manifest's other keys can only mean."""
        llm = self.llm
        if llm.script:
            return "scripted"
        if llm.api_key_env or (llm.base_url or "").rstrip("/").endswith("/v1"):
            return "openai"
        if llm.model and not llm.base_url and self._is_local(llm.model):
            return "local"
        return "ollama" if llm.model or llm.base_url or llm.port else None

    def _is_local(self, model: str) -> bool:
        return model.endswith(".gguf") or find_pulled(self.places, model) is not None

    async def _named(self, backend: Backend, model: str | None, why: str) -> Choice:
        match backend:
            case "ollama":
                return await self._ollama(self._ollama_url(), model, why)
            case "openai":
                url = whole_url(self.llm.base_url or OPENAI_DEFAULT, self.llm.port)
                return Choice(backend=backend, model=model or "", base_url=url, why=why)
            case "local":
                return self._local(model, why)
            case "demo" | "scripted":
                return Choice(backend=backend, model=model or backend, why=why)
        assert_never(backend)

    async def _default(self, given: str) -> Choice:
        """`backend` or `backend:model`."""
        name, _, model = given.partition(":")
        for backend in get_args(Backend):
            if name == backend:
                return await self._named(backend, model or None, "the fleet's default")
        hint = "write one of " + ", ".join(get_args(Backend)) + ", with :model behind it if wanted"
        raise _bad("ATOLL_DEFAULT_LLM", f"{given!r} names no back end", hint)

    def _configured(self) -> str:
        """The URL of an Ollama that somebody set up for this user, or ""."""
        for name in ("ATOLL_OLLAMA_URL", "OLLAMA_HOST"):
            if value := self.environ.get(name):
                return ollama_host(value, name)
        defaults = self.defaults
        if not (defaults.base_url or defaults.port or defaults.model):
            return ""
        base = defaults.base_url or "http://localhost"
        return whole_url(base, defaults.port, origin=".ollama_config.json")

    def _ollama_url(self) -> str:
        llm = self.llm
        if llm.base_url:
            return whole_url(llm.base_url, llm.port)
        return self._configured() or whole_url("http://127.0.0.1", llm.port or 11434)

    async def _ollama(self, url: str, model: str | None, why: str) -> Choice:
        """An Ollama that is named stays chosen when it does not answer: the agent says so."""
        name = model or self.defaults.model or await _first_model(url)
        return Choice(backend="ollama", model=name, base_url=url, why=why)

    async def _detected(self) -> Choice:
        if name := await _first_model(OLLAMA_DEFAULT):
            return Choice(
                backend="ollama", model=name, base_url=OLLAMA_DEFAULT, why="found on this machine"
            )
        found = pulled(self.places)
        if found and has_engine():
            return self._local(found[0].name, "pulled, and no Ollama answers")
        return Choice(
            backend="demo", model="demo", why="no Ollama answers and no local model is pulled"
        )

    def _local(self, model: str | None, why: str) -> Choice:
        name = model or next((card.name for card in pulled(self.places)), CATALOGUE[0].name)
        gguf = find_pulled(self.places, name)
        if gguf is None:
            gguf = self._given(name)
        return Choice(backend="local", model=_model_name(name), gguf=gguf, why=why)

    def _given(self, name: str) -> Path:
        """A GGUF by its path; raises ConfigError for a name that was not pulled."""
        if known(name):
            raise _bad("[llm] model", f"{name!r} is not here yet", f"run `atoll pull {name}`")
        path = self.folder / Path(name).expanduser()
        if path.is_file():
            return path.absolute()
        names = ", ".join(model.name for model in CATALOGUE)
        hint = f"give the path of a GGUF file, or one of the models that can be pulled: {names}"
        raise _bad("[llm] model", f"cannot load {str(path)!r}: no such file", hint)


def has_engine() -> bool:
    """Whether the `local` extra is installed."""
    return find_spec("xllamacpp") is not None


async def _first_model(url: str) -> str:
    """The first model of an Ollama that answers at once, or ""."""
    upstream = Upstream(ollama_peer(url))
    try:
        return await first_listed(upstream, LOOK_TIMEOUT)
    except UpstreamError:
        return ""
    finally:
        await upstream.close()


def _model_name(name: str) -> str:
    """What a model is called on the wire: a path is known by the file's stem."""
    return Path(name).stem if name.endswith(".gguf") else name


def _bad(where: str, message: str, hint: str) -> ConfigError:
    return ConfigError(Problem(file=where, message=message, hint=hint))
