"""Where ATOLL keeps things: a pure reading of the environment (DESIGN section 9).

State holds what must survive (ports, token, logs, databases), runtime holds
sockets and locks, data holds pulled models. systemd's own variables win over
XDG's, as `systemd.exec(5)` intends.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

MAX_SOCKET_PATH = 100
"""Bytes of a unix socket's path that Linux surely takes (sun_path is 108)."""


class Places(Struct, frozen=True):
    """The four directories of one fleet. `data` is shared by all fleets of a user."""

    state: Path
    runtime: Path
    data: Path
    config: Path

    @property
    def models(self) -> Path:
        """Pulled models, one folder each."""
        return self.data / "models"

    @property
    def logs(self) -> Path:
        """Rotated output of every unit."""
        return self.state / "logs"

    @property
    def agents(self) -> Path:
        """One SQLite file per agent."""
        return self.state / "agents"

    @property
    def token(self) -> Path:
        """The management token, mode 0600."""
        return self.state / "token"

    @property
    def delegation_key(self) -> Path:
        """What the fleet's agents seal their calls with, mode 0600; it manages nothing."""
        return self.state / "delegation.key"

    @property
    def lock(self) -> Path:
        """Held by the running daemon; says who it is."""
        return self.runtime / "lock"

    @property
    def keeper(self) -> Path:
        """Where the keeper of this fleet listens."""
        return self.runtime / "keeper.sock"


def places_of(environ: Mapping[str, str], uid: int, state_dir: Path | None = None) -> Places:
    """Derive the places: `state_dir` (a flag) > `ATOLL_STATE_DIR` > systemd's > XDG's > home."""
    home = Path(environ.get("HOME") or "/")
    state = state_dir or _first(environ, ("ATOLL_STATE_DIR", "STATE_DIRECTORY"))
    state = state or _xdg(environ, "XDG_STATE_HOME", home / ".local/state")
    return Places(
        state=state.absolute(),
        runtime=_runtime(environ, uid, state.absolute()),
        data=_xdg(environ, "XDG_DATA_HOME", home / ".local/share"),
        config=_first(environ, ("CONFIGURATION_DIRECTORY",))
        or _xdg(environ, "XDG_CONFIG_HOME", home / ".config"),
    )


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> Path | None:
    for name in names:
        if value := environ.get(name, "").split(":")[0]:
            return Path(value)
    return None


def _xdg(environ: Mapping[str, str], name: str, fallback: Path) -> Path:
    value = environ.get(name, "")
    return (Path(value) if value.startswith("/") else fallback) / "atoll"


def _runtime(environ: Mapping[str, str], uid: int, state: Path) -> Path:
    """A directory of this fleet's own whose sockets have short enough paths."""
    if given := _first(environ, ("RUNTIME_DIRECTORY",)):
        return given
    key = hashlib.sha256(str(state).encode()).hexdigest()[:12]
    inside = state / "run"
    if len(str(inside)) + len("/model-0123456789ab.sock") <= MAX_SOCKET_PATH:
        return inside
    base = environ.get("XDG_RUNTIME_DIR") or f"/tmp/atoll-{uid}"  # noqa: S108  made 0700 and checked by its user
    return Path(base) / f"atoll-{key}"
