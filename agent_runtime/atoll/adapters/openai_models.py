"""What /v1/models says of a model, in the spellings of four servers."""

import msgspec
from msgspec import Struct

from atoll.adapters.chat_template import abilities
from atoll.adapters.lenient_json import decoded
from atoll.adapters.peer import Peer
from atoll.adapters.upstream import Upstream
from atoll.errors import UpstreamError
from atoll.ports import Capability, ModelInfo

LLAMA_CPP = "llamacpp"
"""`owned_by` of a llama.cpp server."""
EMBEDS = "embed"


class Meta(Struct):
    """llama.cpp's facts; `n_ctx` is one slot's, `n_ctx_train` the model's own."""

    n_ctx: int | None = None
    n_ctx_train: int | None = None
    n_embd: int | None = None
    size: int | None = None


class Listed(Struct):
    """One model: OpenAI's id, vLLM's max_model_len, OpenRouter's context_length."""

    id: str
    owned_by: str | None = None
    meta: Meta | None = None
    max_model_len: int | None = None
    context_length: int | None = None
    supported_parameters: list[str] | None = None


class Models(Struct):
    """What /v1/models answers."""

    data: list[Listed] | None = None


class Props(Struct):
    """llama.cpp's /props, as far as we need it."""

    chat_template: str | None = None


MODELS = msgspec.json.Decoder(Models)
PROPS = msgspec.json.Decoder(Props)


async def listed(upstream: Upstream) -> list[Listed]:
    """The models of a server; raises UpstreamError."""
    raw = await upstream.fetch("GET", "/models")
    return decoded(MODELS, raw, upstream.peer.where).data or []


async def info_of(upstream: Upstream, models: list[Listed], model: str) -> ModelInfo:
    """What is known of `model`; a server that does not list it may serve it all the same."""
    found = next((m for m in models if m.id == model), Listed(model))
    meta = found.meta or Meta()
    length = meta.n_ctx or found.max_model_len or found.context_length or meta.n_ctx_train
    return ModelInfo(
        backend="openai",
        model=model,
        capabilities=await _capabilities(upstream.peer, found),
        context_length=length or 0,
        embedding_length=meta.n_embd or 0,
        size=meta.size or 0,
    )


async def _capabilities(peer: Peer, found: Listed) -> tuple[Capability, ...]:
    """Tools where the server says so; one that says nothing is taken to have them.

    No server says that a model embeds; the names of those that do nothing else say it.
    """
    if EMBEDS in found.id.lower():
        return ("embedding",)
    if found.supported_parameters is None and found.owned_by == LLAMA_CPP:
        return abilities(await _template(peer))
    tools = found.supported_parameters is None or "tools" in found.supported_parameters
    return ("completion", "tools") if tools else ("completion",)


async def _template(peer: Peer) -> str:
    """llama.cpp's chat template, "" when it does not tell; /props is beside /v1."""
    root = Upstream(msgspec.structs.replace(peer, url=peer.url.removesuffix("/v1")))
    try:
        raw = await root.fetch("GET", "/props")
        return decoded(PROPS, raw, peer.where).chat_template or ""
    except UpstreamError:
        return ""
    finally:
        await root.close()
