"""URLs as people write them."""

import pytest

from atoll.adapters.addresses import ollama_host, whole_url
from atoll.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        (":9", "http://127.0.0.1:9"),
        ("box", "http://box:11434"),
        ("box:9/", "http://box:9"),
        ("http://box", "http://box"),
        ("https://box/ollama/", "https://box/ollama"),
        ("[::1]:9", "http://[::1]:9"),
        (" 'box' ", "http://box:11434"),
    ],
)
def test_ollamas_variable(written: str, meant: str):
    assert ollama_host(written) == meant


@pytest.mark.parametrize(
    ("url", "port", "meant"),
    [
        ("http://localhost", 11434, "http://localhost:11434"),
        ("http://localhost:9", 11434, "http://localhost:9"),
        ("http://localhost/x/", 5, "http://localhost:5/x"),
        ("https://openrouter.ai/api/v1", None, "https://openrouter.ai/api/v1"),
        ("http://[::1]", 5, "http://[::1]:5"),
    ],
)
def test_a_port_is_added_where_there_is_none(url: str, port: int | None, meant: str):
    assert whole_url(url, port) == meant


@pytest.mark.parametrize("url", ["box", "ftp://x", "http://", "http://x:99999", "http://x:abc", ""])
def test_what_is_no_url_is_told(url: str):
    with pytest.raises(ConfigError, match=r"is no http\(s\) URL"):
        whole_url(url)
