"""From `[sub_agents]` to tools; the one door to this package."""

from collections.abc import Callable, Mapping

from atoll.adapters.allowed import is_allowed
from atoll.adapters.children.child import Child, Means
from atoll.adapters.children.directory import Directory
from atoll.adapters.children.toolbox import ChildrenTools
from atoll.config.manifest import Manifest
from atoll.core.papers import Seal

DAEMON = "ATOLL_DAEMON_URL"
"""The variable by which the daemon tells its agents where it is."""
_DEFAULT_PORT = "8099"


def open_children(
    manifest: Manifest, environ: Mapping[str, str], seal: Seal, warn: Callable[[str], None]
) -> ChildrenTools | None:
    """The children that the manifest names and its `[tools] allow` lets be; asks nobody yet.

    None when there are none. `warn` hears of a variable for a token that is not set.
    """
    tables = {
        name: table
        for name, table in manifest.sub_agents.items()
        if is_allowed(name, manifest.tools.allow)
    }
    if not tables:
        return None
    directory = Directory(daemon_url(environ))
    tokens: dict[str, str] = {}
    for name, table in tables.items():
        if (variable := table.auth_token_env) is not None:
            tokens[name] = environ.get(variable, "")
            if not tokens[name]:
                warn(f"sub_agents.{name}: {variable} is not set; it is asked without a token")
        elif not table.url:  # the agents of a fleet have one token
            tokens[name] = environ.get("ATOLL_AGENT_TOKEN", "")
    means = Means(directory, seal, tokens, manifest.tools.max_result_chars)
    return ChildrenTools([Child(name, table, means) for name, table in tables.items()], directory)


def daemon_url(environ: Mapping[str, str]) -> str:
    """Where the daemon of this agent is, or would be."""
    port = environ.get("ATOLL_API_PORT") or _DEFAULT_PORT
    return environ.get(DAEMON) or f"http://127.0.0.1:{port}"
