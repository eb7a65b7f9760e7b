"""Server-sent events, read back as a client reads them."""

import json

import requests


def sse_events(answer: requests.Response) -> list[tuple[str, dict]]:
    """Name and data of each event; the stream must be whole events and nothing else."""
    answer.encoding = "utf-8"
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    return [_read(part) for part in parts]


def _read(part: str) -> tuple[str, dict]:
    name, data = part.split("\n")
    assert name.startswith("event: ")
    assert data.startswith("data: ")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
