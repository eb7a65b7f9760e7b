"""The keeper's own event loop: order, timers, and errors that end nothing."""

import os

import pytest

from atoll_supervisor.keeper.eventloop import READ, WRITE, Loop


@pytest.fixture
def complaints():
    return []


@pytest.fixture
def loop(complaints):
    made = Loop(complaints.append)
    yield made
    made.close()


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def run(loop):
    """Turn until it is stopped, at most ten seconds."""
    loop.call_later(10, loop.stop)
    loop.run(lambda: None)


def test_timers_come_in_their_order_and_cancelled_ones_not_at_all(loop):
    """However they were made."""
    seen = []
    loop.call_later(0.02, loop.stop)
    loop.call_later(0.01, lambda: seen.append("late"))
    loop.call_later(0, lambda: seen.append("early"))
    loop.call_later(0, lambda: seen.append("never")).cancel()
    run(loop)
    assert seen == ["early", "late"]


def test_an_error_in_a_callback_is_complained_about_and_ends_nothing(loop, complaints):
    """One line that says what and where."""

    def fails():
        raise ValueError("because")

    loop.call_later(0, fails)
    loop.call_later(0.01, loop.stop)
    run(loop)
    (line,) = complaints
    assert line.startswith("internal error, please report it: ValueError: because (test_keeper_loo")


def test_a_descriptor_is_called_while_it_is_readable(loop, pipe):
    """And not any more once it is not watched."""
    reader, writer = pipe
    seen = []

    def read():
        seen.append(os.read(reader, 1))
        if len(seen) == 2:
            loop.unwatch(reader)
            loop.call_later(0.02, loop.stop)

    loop.watch(reader, read)
    os.write(writer, b"abc")
    run(loop)
    assert seen == [b"a", b"b"]


def test_a_number_that_was_given_anew_in_the_same_turn_is_not_called(loop):
    """Else the new owner would be told what happened to the old one."""
    first, second = os.pipe(), os.pipe()
    called: list[tuple[int, int]] = []

    def take_over():
        """Close the other ready descriptor and give its number to an idle pipe."""
        mine, other = (first, second) if not called else (second, first)
        called.append(mine)
        loop.unwatch(mine[0])
        loop.unwatch(other[0])
        os.dup2(idle[0], other[0])
        loop.watch(other[0], lambda: called.append(idle))
        loop.call_later(0.02, loop.stop)

    idle = os.pipe()
    for reader, writer in (first, second):
        os.write(writer, b"x")
        loop.watch(reader, take_over)
    run(loop)
    assert called == [first]
    for end in (*first, *second, *idle):
        os.close(end)


def test_a_watch_can_be_changed_to_writing_and_back(loop, pipe):
    """One callback a descriptor, the newest."""
    _, writer = pipe
    seen = []

    def writable():
        seen.append("writable")
        loop.watch(writer, lambda: seen.append("wrong"), READ)
        loop.call_later(0.02, loop.stop)

    loop.watch(writer, writable, READ | WRITE)
    run(loop)
    assert seen == ["writable"]
