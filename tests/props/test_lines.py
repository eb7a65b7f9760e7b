"""Lines come out the same however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.adapters.lines import LineSplitter
from atoll.errors import UpstreamGarbage


@given(st.lists(st.binary(max_size=12)))
def test_the_cuts_between_pieces_do_not_matter(pieces: list[bytes]):
    splitter = LineSplitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    assert [*lines, splitter.rest()] == b"".join(pieces).split(b"\n")


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_a_line_over_the_limit_is_refused_and_no_other(pieces: list[bytes], limit: int):
    too_long = any(len(line) > limit for line in b"".join(pieces).split(b"\n"))
    splitter = LineSplitter(limit)
    try:
        for piece in pieces:
            splitter.feed(piece)
    except UpstreamGarbage:
        assert too_long
    else:
        assert not too_long


def test_only_lf_ends_a_line():
    line = "a\u2028b\u0085c\x0bd\re".encode()
    assert LineSplitter().feed(line + b"\n") == [line]


def test_an_endless_line_is_not_collected_for_ever():
    splitter = LineSplitter(1000)
    for _ in range(1000):
        splitter.feed(b"x")
    with pytest.raises(UpstreamGarbage, match="longer than 1000 bytes"):
        splitter.feed(b"x")
