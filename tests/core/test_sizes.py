"""Sizes as people write them."""

import pytest

from atoll.config.sizes import bytes_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1K", 1000),
        ("1KiB", 1024),
        ("512MB", 512_000_000),
        ("512 MiB", 512 * 1024**2),
        ("1.5G", 1_500_000_000),
        ("4Gi", 4 * 1024**3),
        ("2TB", 2 * 10**12),
    ],
)
def test_a_size_is_a_number_of_bytes(text: str, wanted: int) -> None:
    assert bytes_of(text) == wanted


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 XB", "1.MB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        bytes_of(text)
