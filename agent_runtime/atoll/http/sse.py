"""Server-sent events as every dialect that streams them frames them (WHATWG HTML, section 9.2)."""

EVENT_STREAM = b"text/event-stream"


def sse(data: bytes, name: str = "") -> bytes:
    """One event with `data`, which holds no line break; JSON never does."""
    head = b"event: %s\n" % name.encode() if name else b""
    return b"%sdata: %s\n\n" % (head, data)
