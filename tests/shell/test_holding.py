"""Ports as the keeper is asked for them, and the launches that wait for one."""

import errno
import socket

import pytest

from atoll_supervisor.keeper.protocol import Close, Command, Held, Listen, Watch
from atoll_supervisor.loop.holding import Holding
from atoll_supervisor.loop.port_table import PortTable
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


class Asked:
    """A Holding whose every word is written down."""

    def __init__(self, **wishes: int) -> None:
        self.sent: list[Command] = []
        self.settled: list[tuple[str, int, str]] = []
        self.woken: list[str] = []
        self.moved: list[str] = []
        self.ports = PortTable(9000, {}, 8099, lambda: None)
        self.ports.wish(wishes)
        self.holding = Holding(
            HOST,
            self.ports,
            self.sent.append,
            lambda *end: self.settled.append(end),
            self.woken.append,
            lambda unit, why: self.moved.append(why),
        )

    def told(self, unit: str, port: int, code: int = 0, *, waiting: bool = False) -> None:
        state = Held(unit, HOST, port, held=not code, errno=code, waiting=waiting)
        self.holding.told(state)


def test_a_launch_waits_for_its_socket_and_a_held_one_is_not_asked_for_again() -> None:
    it = Asked(a=0)
    it.holding.hold("a")
    it.holding.launch("a", 1)
    assert (it.sent, it.settled) == ([Listen("a", HOST, 9000)], [])
    it.told("a", 9000)
    assert it.settled == [("a", 1, "")]
    it.holding.hold("a")
    it.holding.launch("a", 2)
    assert it.sent == [Listen("a", HOST, 9000)]
    assert it.settled[1:] == [("a", 2, "")]


async def test_an_automatic_port_that_a_stranger_holds_moves_on_with_launch_and_watch() -> None:
    it = Asked(a=0)
    it.holding.hold("a")
    it.holding.launch("a", 1)
    it.holding.watch("a")
    it.told("a", 9000, errno.EADDRINUSE)
    await until(lambda: it.moved)
    assert it.sent[2:] == [Listen("a", HOST, 9001), Watch("a")]
    assert it.moved == ["port 9000 is in use; took the next free one"]
    it.told("a", 9001)
    it.told("a", 9001, waiting=True)
    it.told("a", 9001, waiting=True)
    assert (it.settled, it.woken) == ([("a", 1, "")], ["a"])


async def test_a_fixed_port_in_use_fails_the_launch_names_the_holder_and_is_tried_again() -> None:
    with socket.socket() as stranger:
        stranger.bind((HOST, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        it = Asked(a=port)
        it.holding.hold("a")
        it.holding.launch("a", 1)
        it.holding.watch("a")
        it.told("a", port, errno.EADDRINUSE)
        await until(lambda: it.settled)
    assert it.settled[0][2].startswith(f"port {port} is in use by python")
    assert it.woken == ["a"], "who is to be woken learns it, too"
    it.holding.hold("a")
    assert it.sent[-1] == Listen("a", HOST, port)
    it.told("a", port)
    it.holding.launch("a", 2)
    assert it.settled[-1] == ("a", 2, "")


async def test_another_error_is_told_in_the_systems_words() -> None:
    it = Asked(a=0)
    it.holding.hold("a")
    it.holding.launch("a", 1)
    it.told("a", 9000, errno.EACCES)
    await until(lambda: it.settled)
    assert it.settled == [("a", 1, "cannot listen on port 9000: Permission denied")]


def test_a_release_closes_and_ends_what_waits() -> None:
    it = Asked(a=0)
    it.holding.hold("a")
    it.holding.launch("a", 1)
    it.holding.release("a")
    it.told("a", 9000)  # too late
    assert it.sent[-1] == Close("a")
    assert it.settled == [("a", 1, "its socket was closed")]


def test_sockets_of_an_earlier_daemon_are_kept_and_those_of_nobody_closed() -> None:
    it = Asked(a=0)
    assert it.holding.adopt(Held("a", HOST, 9000, held=True))
    assert it.holding.adopt(Held("b", HOST, 9001, held=True))
    assert not it.holding.adopt(Held("c", "::1", 9002, held=True)), "another address"
    it.holding.hold("a")
    it.holding.sweep(["a"])
    assert it.sent == [Close("c"), Close("b")]


def test_what_a_lost_link_may_have_swallowed_is_asked_once_more() -> None:
    it = Asked(a=0, b=0)
    it.holding.hold("a")
    it.holding.hold("b")
    it.told("a", 9000)
    it.holding.watch("a")
    it.sent.clear()
    it.holding.again()
    assert it.sent == [Watch("a"), Listen("b", HOST, 9001)]
    it.holding.launch("b", 1)
    it.holding.give_up("the end")
    assert it.settled == [("b", 1, "the end")]


def test_a_unit_without_a_free_port_is_told_why() -> None:
    it = Asked(a=8099)
    it.holding.hold("a")
    it.holding.launch("a", 1)
    it.holding.watch("a")
    assert "is the daemon's own" in it.settled[0][2]
    assert (it.sent, it.woken) == ([], ["a"])


def test_a_socket_whose_close_was_lost_is_closed_again() -> None:
    it = Asked(a=0)
    it.holding.hold("a")
    it.sent.clear()
    held = [Held(unit, HOST, 9000 + n, held=unit != "c") for n, unit in enumerate("abc")]
    it.holding.disown(held)
    assert it.sent == [Close("b")]
