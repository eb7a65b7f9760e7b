"""The one request of this benchmark, as bytes of HTTP."""

import json

BODY = json.dumps(
    {
        "model": "agent",
        "stream": False,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "options": {"temperature": 0.5},
    }
).encode()


def request(path: str, body: bytes) -> bytes:
    """A POST of JSON on a kept connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


REQUEST = request("/api/chat", BODY)
SHOW = request("/api/show", b'{"model": "agent"}')
