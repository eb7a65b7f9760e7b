"""A zstd body comes apart piece by piece, and never into more than its limit."""

import random

import pytest

from atoll.errors import ClientError, TooLarge
from atoll.http.zstd import MOST_FRAMES, Unpacker
from tests.fakes.packing import zstd

LIMIT = 1024 * 1024
NOISE = random.Random(1).randbytes(300_000)
"""Does not shrink, so that a body of it is large packed too."""


def unpacked(*pieces: bytes, limit: int = LIMIT) -> bytes:
    unpacker = Unpacker(limit)
    whole = b"".join([unpacker.feed(piece) for piece in pieces])
    unpacker.end()
    return whole


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 65_536, 10_000_000])
@pytest.mark.parametrize("text", [b"", b"{}", b"a" * 200_000, NOISE], ids=len)
def test_however_it_is_cut_it_comes_out_as_it_went_in(text: bytes, size: int) -> None:
    packed = zstd.compress(text)
    if len(packed) > 100_000:
        size = max(size, 1000)
    assert unpacked(*cut(packed, size)) == text


def test_frames_follow_each_other_and_skippable_ones_say_nothing() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"apart"
    body = zstd.compress(b"one ") + skippable + zstd.compress(b"") + zstd.compress(b"two")
    for size in (1, 3, len(body)):
        assert unpacked(*cut(body, size)) == b"one two"


def test_no_body_is_no_frame() -> None:
    assert unpacked() == b""
    assert unpacked(b"", b"") == b""


def test_the_limit_is_of_what_comes_out_of_all_frames_and_it_may_be_reached() -> None:
    half = zstd.compress(bytes(LIMIT // 2))
    assert len(unpacked(half, half)) == LIMIT
    with pytest.raises(TooLarge, match="1048576 bytes"):
        unpacked(half, half, zstd.compress(b"x"))


def test_a_bomb_is_refused_while_it_grows() -> None:
    """A frame that tells no size, of 1 GiB in 32 KiB: no more than the limit is ever made."""
    packer = zstd.ZstdCompressor()
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(1024)]) + packer.flush()
    assert len(bomb) < 100_000
    unpacker = Unpacker(LIMIT)
    came: list[bytes] = []
    with pytest.raises(TooLarge):
        came.extend(map(unpacker.feed, cut(bomb, 16)))
    assert sum(map(len, came)) <= LIMIT


def test_a_frame_that_lies_about_its_size_is_believed_nothing() -> None:
    with pytest.raises(TooLarge):
        unpacked(zstd.compress(bytes(1 << 28)), limit=1000)


def test_a_window_of_more_than_8_mib_is_refused() -> None:
    """RFC 9659: a server need not set more memory aside for one body."""
    options = {zstd.CompressionParameter.window_log: 27}
    packer = zstd.ZstdCompressor(options=options)
    wide = packer.compress(b"x" * 100) + packer.flush()
    with pytest.raises(ClientError, match="no valid zstd"):
        unpacked(wide)


def test_a_frame_that_is_cut_off_is_refused_at_the_end() -> None:
    packed = zstd.compress(b"a message that matters")
    for end in range(1, len(packed)):
        with pytest.raises(ClientError, match="middle of a zstd frame"):
            unpacked(packed[:end])


@pytest.mark.parametrize(
    "garbage",
    [b'{"model": "x"}', b"\x1f\x8b\x08\x00\x00\x00\x00\x00", b"\x00" * 50],
    ids=["json", "gzip", "zeros"],
)
def test_what_is_no_zstd_is_refused_also_after_a_frame(garbage: bytes) -> None:
    for body in (garbage, zstd.compress(b"{}") + garbage):
        with pytest.raises(ClientError, match="no valid zstd"):
            unpacked(body)


def test_a_frame_that_was_changed_on_its_way_is_refused() -> None:
    checked = {zstd.CompressionParameter.checksum_flag: 1}
    packed = bytearray(zstd.compress(NOISE[:1000], options=checked))
    packed[500] ^= 1
    with pytest.raises(ClientError, match="no valid zstd"):
        unpacked(bytes(packed))


def test_a_body_of_very_many_frames_is_refused() -> None:
    """Each costs a decoder, and the rest of the piece is copied for it."""
    empty = zstd.compress(b"")
    assert unpacked(empty * MOST_FRAMES) == b""
    with pytest.raises(ClientError, match="64 zstd frames"):
        unpacked(empty * 100_000)
