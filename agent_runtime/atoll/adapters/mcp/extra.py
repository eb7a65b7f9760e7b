"""Whether the extra `mcp` is there; this module is imported without it."""

from importlib.util import find_spec
from pathlib import Path

from atoll.errors import ConfigError, Problem

INSTALL = "pip install 'atoll[mcp]' (in a clone: scripts/setup mcp), or take [mcp_servers] out"


def need_sdk(manifest: Path) -> None:
    """Raise ConfigError with the line that installs it when the SDK is missing or an old one."""
    if find_spec("mcp") is None or find_spec("mcp_types") is None:  # the latter came with 2.0
        message = "[mcp_servers] needs the MCP SDK 2, which is not installed"
        raise ConfigError(Problem(file=str(manifest), message=message, hint=INSTALL))
