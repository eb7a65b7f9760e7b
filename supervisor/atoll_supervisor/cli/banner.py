"""The start-up text: the source page's lines, and what is wrong said as plainly.

[OK] ATOLL deployment server started
  Local Server: localhost (running)
    Agents:
    ● GhidraAgent (Port: 8100) - running
"""

from collections.abc import Sequence

from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.row import Row


def banner(rows: Sequence[Row], url: str) -> str:
    """The whole text without a last line end; `url` is the management API's."""
    lines = ["[OK] ATOLL deployment server started", "  Local Server: localhost (running)"]
    lines += ["    Agents:", *(f"    {agent_line(row)}" for row in rows)]
    if not rows:
        lines.append("    none yet: put a folder with an agent.toml into the agents directory")
    lines.append(f"  Management: {url}  {_hint(rows)}".rstrip())
    return "\n".join(lines)


def agent_line(row: Row) -> str:
    """`● Name (Port: 8100) - running`; one that does not run says why."""
    name = plain_line(row.name)
    fault = row.reason or row.config_error or ""
    if row.status == "failed" or row.phase == "invalid":
        return f"● {name} - failed: {plain_line(fault) or 'no reason known'}"
    port = f" (Port: {row.port})" if row.port else ""
    if row.phase == "backoff":
        return f"● {name}{port} - starting again: {plain_line(fault)}"
    broken_edit = f" (its last edit is wrong: {plain_line(fault)})" if row.config_error else ""
    return f"● {name}{port} - {row.status}{broken_edit}"


def _hint(rows: Sequence[Row]) -> str:
    running = [row for row in rows if row.status == "running"]
    return f"Try: atoll run {running[0].slug}" if running else ""
