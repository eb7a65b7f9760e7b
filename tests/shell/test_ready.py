"""A supervised process says that it serves, once, and learns that its parent is gone."""

import os

import pytest

from atoll.adapters.ready import tell_ready


def test_ready_is_said_and_the_pipe_is_closed():
    reading, writing = os.pipe()
    tell_ready({"ATOLL_READY_FD": str(writing)})
    assert os.read(reading, 100) == b"READY=1\n"
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_nobody_asked():
    tell_ready({})


def test_a_parent_that_is_gone_is_noticed():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        tell_ready({"ATOLL_READY_FD": str(writing)})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(writing)
