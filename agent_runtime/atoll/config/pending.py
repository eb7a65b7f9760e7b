"""What a manifest asks for and this release does not act on yet, told and never ignored."""

from atoll.config.load import Loaded
from atoll.config.manifest import Manifest

_LATER = "does not act on it yet"


def pending(loaded: Loaded) -> tuple[str, ...]:
    """One sentence per table or key that the file sets and that nothing comes of today."""
    manifest, given = loaded.manifest, loaded.given
    named = [*_tables(given), *_keys(manifest, given)]
    return tuple(f"{name} is set; this release {_LATER}" for name in named)


_TABLES = ("mcp_servers", "sub_agents", "sandbox", "budget", "dependencies")
_KEYS = (
    "tools.execute_code",
    "io.hand_off",
    "resources.cpu_limit",
    "resources.memory_limit",
    "resources.pids_limit",
    "resources.timeout",
    "deployment.idle_timeout",
    "loop.planning_interval",
)


def _tables(given: frozenset[str]) -> list[str]:
    tops = {path.partition(".")[0] for path in given}
    return [f"[{table}]" for table in _TABLES if table in tops]


def _keys(manifest: Manifest, given: frozenset[str]) -> list[str]:
    asked = [key for key in _KEYS if key in given]
    odd = {
        'deployment.engine = "slurm"': manifest.deployment.engine == "slurm",
        'deployment.spawn = "fork"': "deployment.spawn" in given
        and manifest.deployment.spawn == "fork",
        f"session.concurrency = {manifest.session.concurrency!r}": manifest.session.concurrency
        != "enqueue",
        f"server.on_disconnect = {manifest.server.on_disconnect!r}": manifest.server.on_disconnect
        != "cancel",
    }
    return asked + [name for name, is_asked in odd.items() if is_asked]
