"""From a loaded manifest to an agent that can take turns."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from atoll.adapters.choose import Choice, choose, make_model
from atoll.adapters.clock import SteadyClock, SystemClock
from atoll.adapters.mcp.extra import need_sdk
from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.adapters.sandbox.opening import open_code_tools
from atoll.adapters.session_store import SqliteSessions
from atoll.adapters.toolboxes import Toolboxes
from atoll.config.legacy import read_mcp_json, read_ollama_config
from atoll.config.llm_defaults import LlmDefaults, filled
from atoll.config.load import Loaded
from atoll.config.manifest import Manifest
from atoll.config.pending import pending
from atoll.config.places import Places
from atoll.core.papers import Seal
from atoll.loop.agent import Agent, Identity, new_instance_id
from atoll.loop.errand import Children
from atoll.ports import Toolbox

Warn = Callable[[str], None]


async def open_agent(
    loaded: Loaded,
    places: Places,
    environ: Mapping[str, str],
    warn: Warn,
    key: str = "",
    *,
    elsewhere: bool = False,
) -> Agent:
    """Choose the back end, import the tools, start the MCP servers, open the sessions.

    What the manifest asks for and this release does not act on is told to
    `warn`, sentence by sentence; so is the choice of the back end. Raises
    ConfigError for a missing model or script, or for MCP servers without the
    extra `mcp`, AgentError for a tools.py that cannot be imported. Where code
    cannot be run safely there is no execute_code, and `warn` hears why. `key` is the
    fleet's, by which its agents know each other's calls; "" for an agent on its own.
    `elsewhere` is on another machine than the fleet's, which may have the same files open.
    """
    folder = loaded.path.parent
    for sentence in (*pending(loaded), *_mcp_json(loaded, environ)):
        warn(sentence)
    defaults = read_ollama_config(Path(environ.get("HOME", "/")))
    choice = await choose(loaded.manifest.llm, defaults, environ, places, folder)
    manifest = _manifest(loaded, defaults, choice)
    warn(f"back end: {_spoken(choice)}")
    model = make_model(choice, manifest.llm, folder, places, environ)
    clock = SystemClock()
    instance_id = environ.get("ATOLL_INSTANCE") or new_instance_id()
    seal = Seal(key, instance_id)
    identity = Identity(
        manifest=manifest,
        checksum=loaded.checksum,
        backend=choice.backend,
        model_name=choice.model,
        instance_id=instance_id,
        seal=seal,
    )
    timeout = manifest.session.timeout_minutes * 60
    sessions = SqliteSessions(
        places.agents / f"{identity.slug}.db", timeout, SteadyClock(), across_machines=elsewhere
    )
    tools = await _toolbox(manifest, loaded.path, environ, warn)
    code = await open_code_tools(manifest, model, tools, warn)
    children = _children(manifest, environ, seal, warn)
    return Agent(identity, model, tools, sessions, clock, code, children)


def _manifest(loaded: Loaded, defaults: LlmDefaults, choice: Choice) -> Manifest:
    """The manifest; for an Ollama with the options of the user's `.ollama_config.json`."""
    if choice.backend != "ollama":
        return loaded.manifest
    llm = filled(loaded.manifest.llm, defaults, loaded.given)
    return msgspec.structs.replace(loaded.manifest, llm=llm)


def _mcp_json(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[str]:
    """The source system's mcp.json, beside the manifest or in the working directory."""
    paths = {path.absolute() for path in (loaded.path.with_name("mcp.json"), Path("mcp.json"))}
    for path in sorted(path for path in paths if path.is_file()):
        if not loaded.manifest.mcp_servers:
            names = ", ".join(read_mcp_json(path, environ))
            yield (
                f"{path} names the MCP servers {names}; beside an agent.toml it is not read:"
                " they belong into [mcp_servers.<name>]"
            )


def _spoken(choice: Choice) -> str:
    return f"{choice.backend} {choice.model} ({choice.why})"


def _children(
    manifest: Manifest, environ: Mapping[str, str], seal: Seal, warn: Warn
) -> Children | None:
    """The agents that it may call; only who has some imports what they need."""
    if not manifest.sub_agents:
        return None
    from atoll.adapters.children.opening import open_children  # noqa: PLC0415

    return open_children(manifest, environ, seal, warn)


async def _toolbox(
    manifest: Manifest, path: Path, environ: Mapping[str, str], warn: Warn
) -> Toolbox:
    """The tools of tools.py and those of MCP servers."""
    tools = manifest.tools
    found = load_tools(path.parent / tools.python) if tools.python else ()
    own = PythonTools(found, tools.allow, tools.timeout, tools.max_result_chars)
    if not manifest.mcp_servers:
        return own
    need_sdk(path)
    from atoll.adapters.mcp.opening import open_mcp  # noqa: PLC0415  32 MiB, for these agents alone

    mcp = await open_mcp(manifest, path.parent, environ, warn)
    return Toolboxes(((tools.python or "tools.py", own), ("[mcp_servers]", mcp)))
