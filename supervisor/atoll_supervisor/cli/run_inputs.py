"""The inputs of a run as people type them: `name=text`, `name:=json`, or bare words.

The spelling is that of httpie's request items (https://httpie.io/docs/cli/request-items).
"""

import re
from collections.abc import Sequence
from typing import IO

import click
import msgspec

from atoll.wire.json import JsonObject, JsonValue

USUAL = "query"
"""The input that bare words become, as on the source page."""
_NAMED = re.compile(r"([A-Za-z_]\w*)(:?=)(.*)", re.DOTALL)


def inputs_of(words: Sequence[str], document: IO[bytes] | None) -> JsonObject:
    """What the document holds, and over it what the words say; raises click.UsageError."""
    inputs = _read(document) if document else {}
    bare: list[str] = []
    for word in words:
        match _NAMED.fullmatch(word):
            case None:
                bare.append(word)
            case named:
                name, sign, text = named.groups()
                inputs[name] = text if sign == "=" else _json(name, text)
    return inputs | {USUAL: " ".join(bare)} if bare else inputs


def _read(document: IO[bytes]) -> JsonObject:
    try:
        return msgspec.json.decode(document.read(), type=JsonObject)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--file {document.name}: it is no JSON object: {error}") from None


def _json(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        hint = f"text is given as {name}={text}"
        raise click.UsageError(f"{name}:={text} is no JSON: {error}; {hint}") from None
    return value
