"""What the agent and the sandbox's worker say to each other.

A frame is four bytes of length, big-endian, and that many bytes of JSON. The
worker is at the mercy of the code it runs, so what comes from it is a
stranger's word: bounded, checked, and never more than that code's own outcome.
Each step has an unguessable id, which an answer prepared beforehand lacks.
"""

import struct
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

HEAD = 4


class Run(Struct, frozen=True, tag="run"):
    """To the worker: run this code; `id` is the step's."""

    id: str
    code: str


class Answer(Struct, frozen=True, tag="answer"):
    """To the worker: what the model said to the prompts of that number, or why nothing."""

    number: int
    texts: tuple[str, ...] = ()
    error: str = ""


class Hello(Struct, frozen=True, tag="hello"):
    """From the worker: its limits hold, it can begin."""


class Ask(Struct, frozen=True, tag="ask"):
    """From the worker: the code asks the model; `number` tells its questions apart."""

    id: str
    number: int
    prompts: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


class Done(Struct, frozen=True, tag="done"):
    """From the worker: the step is over."""

    id: str
    output: str
    value: str
    error: str
    submitted: str | None = None


Said = Hello | Ask | Done

_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_encoder = msgspec.json.Encoder()


def encoded(frame: Run | Answer) -> bytes:
    """The frame as it goes over the socket."""
    body = _encoder.encode(frame)
    return struct.pack(">I", len(body)) + body


def length_of(head: bytes) -> int:
    """How many bytes follow the head."""
    (length,) = struct.unpack(">I", head)
    return int(length)


def decoded(body: bytes) -> Said:
    """What the worker said; raises msgspec.DecodeError for what no worker of ours says."""
    return _decoder.decode(body)
