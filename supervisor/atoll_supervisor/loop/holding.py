"""The units' ports as the keeper holds them, and the launches that wait for one."""

import asyncio
import errno
import os
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from atoll.adapters.listening import port_holder
from atoll_supervisor.keeper.protocol import Close, Command, Held, Listen, State, Watch
from atoll_supervisor.loop.port_table import PortTable
from atoll_supervisor.shell.own_port import UNIT as OWN_PORT

Send = Callable[[Command], None]
Settled = Callable[[str, int, str], None]
"""Called with unit, generation and "" or the reason why its socket cannot be had."""


class _Place(Struct):
    """The socket a unit is to have. Until it is `held` or has a `fault`, launches wait."""

    port: int
    held: bool = False
    fault: str = ""
    watched: bool = False


class Holding:
    """Asks the keeper for sockets; an automatic port that a stranger holds moves on."""

    def __init__(
        self,
        host: str,
        ports: PortTable,
        send: Send,
        settled: Settled,
        wakes: Callable[[str], None],
        moved: Callable[[str, str], None],
    ) -> None:
        self._host = host
        self._ports = ports
        self._send = send
        self._settled = settled
        self._wakes = wakes
        self._moved = moved
        self._places: dict[str, _Place] = {}
        self._launches: dict[str, list[int]] = {}
        self._inquiries: set[asyncio.Task[None]] = set()

    def hold(self, unit: str) -> None:
        """Have the unit's port held, unless it is."""
        place = self._places.get(unit)
        port = self._ports.port_of(unit)
        if port is None:
            self._places[unit] = _Place(0, fault=self._ports.problem_of(unit))
        elif place is None or place.fault or place.port != port:
            self._places[unit] = _Place(port)
            self._send(Listen(unit, self._host, port))

    def release(self, unit: str) -> None:
        """Close the unit's socket; a launch that waits for it comes to nothing."""
        if self._places.pop(unit, None) is not None:
            self._send(Close(unit))
        self._settle(unit, "its socket was closed")

    def launch(self, unit: str, generation: int) -> None:
        """Call `settled` for this launch as soon as the unit's socket is held, or is not to be."""
        self._launches.setdefault(unit, []).append(generation)
        place = self._places.get(unit)
        if place is None:
            self._settle(unit, "nothing holds its port")
        elif place.held or place.fault:
            self._settle(unit, place.fault)

    def watch(self, unit: str) -> None:
        """Call `wakes` once when a client waits, or when there is no socket to wait at."""
        place = self._places.get(unit)
        if place is None or place.fault:
            self._wakes(unit)
        else:
            place.watched = True
            self._send(Watch(unit))

    def told(self, state: Held) -> None:
        """Take in what the keeper says of a socket."""
        place = self._places.get(state.unit)
        if place is None or place.port != state.port:
            return
        if state.held:
            place.held, place.fault = True, ""
            self._settle(state.unit, "")
        elif state.errno and not place.held:
            self._refused(state, place)
        if state.waiting:
            self._wake(state.unit, place)

    def adopt(self, state: Held) -> bool:
        """Take over a socket of an earlier daemon; False when it was on another address than ours.

        That one is closed.
        """
        if state.host != self._host:
            self._send(Close(state.unit))
            return False
        self._places[state.unit] = _Place(state.port, held=True)
        return True

    def sweep(self, units: Collection[str]) -> None:
        """Close the sockets of all but these units."""
        for unit in self._places.keys() - set(units):
            self.release(unit)

    def again(self) -> None:
        """Ask once more for what has not been answered, and for every watch."""
        for unit, place in self._places.items():
            if not (place.held or place.fault):
                self._send(Listen(unit, self._host, place.port))
            if place.watched:
                self._send(Watch(unit))

    def disown(self, states: Iterable[Held]) -> None:
        """Close what the keeper holds and no unit of ours is to have: its `Close` was lost."""
        for state in states:
            if state.held and state.unit not in self._places:
                self._send(Close(state.unit))

    def give_up(self, why: str) -> None:
        """Settle every launch that waits."""
        for unit in list(self._launches):
            self._settle(unit, why)

    def reset(self) -> None:
        """A new keeper holds nothing yet; the launches go on waiting."""
        self._places.clear()

    def _wake(self, unit: str, place: _Place) -> None:
        if place.watched:
            place.watched = False
            self._wakes(unit)

    def _refused(self, state: Held, place: _Place) -> None:
        """Find out who holds the port, off the loop: it takes a look at every process."""
        inquiry = asyncio.get_running_loop().create_task(self._inquire(state, place))
        self._inquiries.add(inquiry)
        inquiry.add_done_callback(self._inquiries.discard)

    async def _inquire(self, state: Held, place: _Place) -> None:
        holder = ""
        if state.errno == errno.EADDRINUSE:
            found = await asyncio.to_thread(port_holder, state.port)
            holder = f" by {found}" if found else ""
        if self._places.get(state.unit) is not place or place.held:
            return  # it was released, or moved, meanwhile
        if state.errno == errno.EADDRINUSE and not self._ports.is_fixed(state.unit):
            self._move(state.unit, place, f"port {state.port} is in use{holder}")
        else:
            self._fail(state.unit, place, _fault(state, holder))

    def _fail(self, unit: str, place: _Place, fault: str) -> None:
        place.fault = fault
        self._settle(unit, fault)
        self._wake(unit, place)

    def _move(self, unit: str, old: _Place, why: str) -> None:
        self._ports.give_up(old.port)
        self.hold(unit)
        place = self._places[unit]
        place.watched = old.watched
        if place.fault:
            self._fail(unit, place, place.fault)
        else:
            self._moved(unit, f"{why}; took the next free one")
            if place.watched:
                self._send(Watch(unit))

    def _settle(self, unit: str, fault: str) -> None:
        for generation in self._launches.pop(unit, []):
            self._settled(unit, generation, fault)


def _fault(state: Held, holder: str) -> str:
    if state.errno == errno.EADDRINUSE:
        return f"port {state.port} is in use{holder}"
    return f"cannot listen on port {state.port}: {os.strerror(state.errno)}"


def sockets_of(states: Iterable[State]) -> list[Held]:
    """The units' sockets among all that a keeper tells."""
    return [state for state in states if isinstance(state, Held) and state.unit != OWN_PORT]
