"""The fleet's port numbers: the core's rules over what was kept and what strangers hold."""

import errno
from collections.abc import Callable, Mapping

from atoll.adapters.listening import can_bind
from atoll_supervisor.core.numbering import Numbers, assign


class PortTable:
    """Gives each unit its port and remembers it; `known` are the ports kept from before.

    `changed` is called whenever there is something else to remember.
    """

    def __init__(
        self, base: int, known: Mapping[str, int], daemon_port: int, changed: Callable[[], None]
    ) -> None:
        self._base = base
        self._known = dict(known)
        self._wishes: dict[str, int] = {}
        self._daemon_port = daemon_port
        self._changed = changed
        self._taken = {daemon_port}
        self._numbers = Numbers({}, {}, {})

    @property
    def known(self) -> Mapping[str, int]:
        """Every port ever given, for the state file."""
        return self._known

    def wish(self, wishes: Mapping[str, int]) -> None:
        """Note the units that need a port: a fixed one, or 0 for an automatic one.

        All of one look at once: an automatic port must not take what another
        manifest of the same look has fixed.
        """
        if not wishes.items() <= self._wishes.items():
            self._wishes.update(wishes)
            self._assign()

    def keep(self, ports: Mapping[str, int]) -> None:
        """Units whose manifests have not been read yet have these, for they listen there."""
        self._known.update(ports)
        self.wish(ports)

    def forget(self, slug: str) -> None:
        """The unit is gone; its port is kept for it as long as others are free."""
        if self._wishes.pop(slug, None) is not None and self._numbers.problems:
            self._assign()

    def port_of(self, slug: str) -> int | None:
        """The unit's port, None when it has none."""
        port = self._numbers.ports.get(slug)
        return None if port == self._daemon_port else port

    def problem_of(self, slug: str) -> str:
        """Why the unit has no port, or ""."""
        if self._wishes.get(slug) == self._daemon_port:
            return f"port {self._daemon_port} is the daemon's own: choose another, or 0 for any"
        return self._numbers.problems.get(slug, "")

    def is_wished(self, slug: str) -> bool:
        """Whether the unit is to have a port at all."""
        return slug in self._wishes

    def is_fixed(self, slug: str) -> bool:
        """Whether the manifest names the port."""
        return bool(self._wishes.get(slug))

    def give_up(self, port: int) -> None:
        """A stranger holds this port: who had it gets the next free one."""
        self._taken.add(port)
        self._assign()

    def at_launch(self, slug: str, host: str) -> int | None:
        """The port of a process that is launched now; one that binds it itself names its `host`.

        Such a one moves on from an automatic port that a stranger holds, and raises
        OSError where it has none: the stranger would be asked for its health.
        """
        while (port := self.port_of(slug)) is not None:
            if not host or can_bind(host, port):
                return port
            if self.is_fixed(slug):
                raise OSError(errno.EADDRINUSE, f"port {port}, which its recipe names, is in use")
            self.give_up(port)
        if host:
            raise OSError(errno.EADDRNOTAVAIL, self.problem_of(slug))
        return None

    def _assign(self) -> None:
        self._numbers = assign(self._wishes, self._known, self._base, self._taken)
        given = set(self._numbers.ports.values())
        away = {slug: port for slug, port in self._known.items() if port not in given}
        known = away | dict(self._numbers.ports)
        if known != self._known:
            self._known = known
            self._changed()
