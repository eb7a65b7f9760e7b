"""What the agent shows of itself as a model: rows of tags and ps, and show. Pure."""

import hashlib
from datetime import UTC, datetime
from typing import get_args

from atoll.config.manifest import Manifest
from atoll.http.ollama.wire import Details, ListModel, PsModel, Show
from atoll.loop.agent import Agent
from atoll.ports import Capability, ModelInfo
from atoll.wire.json import JsonObject

FALLBACK_CONTEXT = 4096
"""Ollama's own default, said where a back end does not tell: 0 makes clients ask for num_ctx 0."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_ORDER: tuple[Capability, ...] = get_args(Capability)
"""As Ollama has them in its lists."""


def tagged(name: str) -> str:
    """A model's name as lists show it, with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def digest_of(agent: Agent) -> str:
    """64 hex digits, the same as long as the manifest is: clients cache by it."""
    return hashlib.sha256(f"{agent.slug}\0{agent.identity.checksum}".encode()).hexdigest()


def capabilities_of(agent: Agent, info: ModelInfo) -> list[str]:
    """The model's own, and tools for an agent that has some and can talk: the loop drives them."""
    has = set(info.capabilities)
    if agent.has_tools and "completion" in has:
        has.add("tools")
    return [capability for capability in _ORDER if capability in has]


def details_of(info: ModelInfo) -> Details:
    """What the back end says the model is made of."""
    families = [info.architecture] if info.architecture else []
    return Details("", "gguf", info.architecture, families, info.parameter_size, info.quantization)


def list_models(agent: Agent, info: ModelInfo) -> list[ListModel]:
    """The agent first, then its model's own name as an alias (DESIGN section 7)."""
    return [_list_model(agent, info, name) for name in (agent.slug, *agent.aliases)]


def _list_model(agent: Agent, info: ModelInfo, name: str) -> ListModel:
    return ListModel(
        name=tagged(name),
        model=tagged(name),
        modified_at=_moment(agent.started_at),
        size=info.size,
        digest=digest_of(agent),
        details=details_of(info),
        capabilities=capabilities_of(agent, info),
    )


def ps_model(agent: Agent, info: ModelInfo, until: float) -> PsModel:
    """The agent as a loaded model; `until` in seconds since the epoch, inf for ever."""
    return PsModel(
        name=tagged(agent.slug),
        model=tagged(agent.slug),
        size=info.size,
        digest=digest_of(agent),
        details=details_of(info),
        expires_at=_moment(min(until, _NEVER.timestamp())).isoformat(),
        size_vram=0,
        context_length=info.context_length or FALLBACK_CONTEXT,
    )


def show(agent: Agent, info: ModelInfo, basename: str) -> Show:
    """`/api/show`; `basename` is the name some clients want to see instead of the model's."""
    system = agent.manifest.llm.system_prompt
    return Show(
        modelfile=f'FROM {info.model}\nSYSTEM """{system}"""\n',
        parameters=_parameters(agent.manifest),
        template="{{ .Prompt }}",
        system=system,
        license=agent.manifest.agent.license,
        details=details_of(info),
        model_info=_model_info(info, basename),
        capabilities=capabilities_of(agent, info),
        modified_at=_moment(agent.started_at),
    )


def _parameters(manifest: Manifest) -> str:
    """Lines of `key value`: a client's constructor throws on any other line."""
    llm = manifest.llm
    given = {"temperature": llm.temperature, "top_p": llm.top_p, "num_predict": llm.max_tokens}
    return "\n".join(f"{key:<30} {value:g}" for key, value in given.items() if value is not None)


def _model_info(info: ModelInfo, basename: str) -> JsonObject:
    architecture = info.architecture or info.backend
    facts: JsonObject = {
        "general.architecture": architecture,
        "general.basename": basename or info.model,
        f"{architecture}.context_length": info.context_length or FALLBACK_CONTEXT,
        "atoll.backend": info.backend,
    }
    if info.embedding_length:
        facts[f"{architecture}.embedding_length"] = info.embedding_length
    return facts


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
