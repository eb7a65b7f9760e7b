"""The inputs of a run as people type them: `name=text`, `name:=json`, or bare words.

The spelling is that of httpie's request items (https://httpie.io/docs/cli/request-items).
"""

import re
from collections.abc import Sequence
from typing import IO

import click
import msgspec

from atoll.wire.halves import whole
from atoll.wire.json import JsonObject, JsonValue

USUAL = "query"
"""The input that bare words become, as on the source page."""
_NAMED = re.compile(r"([^\W\d]\w*)(:?=)(.*)", re.DOTALL)
"""A name is what a signature takes for one."""
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


def inputs_of(words: Sequence[str], document: IO[bytes] | None) -> JsonObject:
    """What the document holds, and over it what the words say; raises click.UsageError.

    Words go over the document, never over one another: of two nobody knows which was meant.
    """
    named: JsonObject = {}
    bare: list[str] = []
    for word in map(_as_text, words):
        match _NAMED.fullmatch(word):
            case None:
                bare.append(word)
            case found:
                name, sign, text = found.groups()
                _only_once(name, named, "it is given twice")
                named[name] = text if sign == "=" else _json(name, text)
    if bare:
        _only_once(USUAL, named, f"{' '.join(bare)!r} would be the same input: put it in quotes")
        named[USUAL] = " ".join(bare)
    return (_read(document) if document else {}) | named


def _only_once(name: str, named: JsonObject, fault: str) -> None:
    if name in named:
        raise click.UsageError(f"input `{name}`: {fault}")


def _as_text(word: str) -> str:
    """The word, if a JSON text can hold it: a byte that is no UTF-8 comes as half a surrogate."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"{word!a} is no UTF-8") from None
    return word


def _read(document: IO[bytes]) -> JsonObject:
    try:
        return msgspec.json.decode(whole(document.read()), type=JsonObject)
    except _UNREADABLE as error:
        raise click.UsageError(f"--file {document.name}: it is no JSON object: {error}") from None


def _json(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = msgspec.json.decode(whole(text.encode()))
    except _UNREADABLE as error:
        hint = f"text is given as {name}={text}"
        raise click.UsageError(f"{name}:={text} is no JSON: {error}; {hint}") from None
    return value
