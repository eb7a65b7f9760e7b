"""From a manifest to the tool execute_code, or to the reason why there is none."""

from collections.abc import Callable

from atoll.adapters.allowed import is_allowed
from atoll.adapters.sandbox.asking import ModelHost
from atoll.adapters.sandbox.tool import NAME, CodeTools
from atoll.config.manifest import Manifest
from atoll.core.prompt import merged
from atoll.errors import AgentError
from atoll.ports import CodeHost, Model, Spend, Toolbox
from atoll.wire.messages import Options

CALLS = 50
"""Prompts that the code of one turn may send when `[budget] calls_per_turn` is left out."""


async def open_code_tools(
    manifest: Manifest, model: Model, rest: Toolbox, warn: Callable[[str], None]
) -> CodeTools | None:
    """The tool, when the manifest asks for it, allows it, and code can be run safely here.

    Otherwise None; `warn` hears the reason and what mends it, and which limits
    do not hold. Raises AgentError when a tool of the agent bears its name.
    """
    tools = manifest.tools
    if not tools.execute_code or not is_allowed(NAME, tools.allow):
        return None
    if any(spec.name == NAME for spec in rest.specs):
        raise AgentError(f"tools.py: {NAME}() is the built-in tool's name; [tools] asks for both")
    if NAME in manifest.sub_agents:
        raise AgentError(f"[sub_agents.{NAME}]: that is the built-in tool's name; choose another")
    from atoll.adapters.sandbox.choosing import open_engine  # noqa: PLC0415  most have no need of it

    try:
        engine = await open_engine(manifest.sandbox)
    except AgentError as error:
        warn(f"{NAME} is refused: {error}")
        return None
    for sentence in engine.unenforced:
        warn(f"{NAME}: {sentence}")
    options = merged(manifest.llm, Options())

    def host(spend: Spend) -> CodeHost:
        return ModelHost(model, options, manifest.budget.calls_per_turn or CALLS, spend)

    seconds = manifest.session.timeout_minutes * 60
    return CodeTools(engine, host, seconds, tools.max_result_chars)
