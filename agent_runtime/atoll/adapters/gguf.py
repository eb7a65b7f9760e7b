"""Reads the header of a GGUF file: what the model is, without loading it.

Layout: the GGUF specification (ggml-org/ggml, docs/gguf.md), versions 2 and 3.
Every count and length in the file is checked against a limit before it is
used, so a broken or hostile file costs at most MAX_HEADER bytes of reading.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from atoll.errors import ConfigError, Problem

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER = 64 * 1024 * 1024
MAX_PAIRS = 65_536
MAX_STRING = 16 * 1024 * 1024
MAX_ITEMS = 2_000_000
MAX_DEPTH = 4
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8

_STRING, _ARRAY = 8, 9
_SCALARS = ("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d")
"""struct's letter of each scalar type, by the specification's type numbers."""
_FILE_TYPES = {32: "BF16"} | dict(
    enumerate(
        [
            *("F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S"),
            *("Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"),
        ]
    )
)
"""general.file_type -> quantisation, the common ones."""

Value = bool | int | float | str | None


class Gguf(Struct, frozen=True, kw_only=True):
    """What a model file says of itself; 0 and "" mean that it does not say.

    `parameters` counts weights, `size` bytes, `kv_bytes` the bytes that one
    token takes in an f16 key-value cache.
    """

    architecture: str
    context_length: int
    embedding_length: int
    parameters: int
    quantization: str
    chat_template: str
    size: int
    kv_bytes: int

    @property
    def parameter_size(self) -> str:
        """`134.52M`, in Ollama's way of writing it."""
        for unit, one in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
            if self.parameters >= one:
                return f"{self.parameters / one:.4g}{unit}"
        return str(self.parameters or "")


def read_gguf(path: Path) -> Gguf:
    """Read a header; raises ConfigError when the file is missing or is no GGUF."""
    if not path.is_file():
        why = "not a regular file" if path.exists() else "no such file"
        raise _bad(path, why, "`atoll pull smollm2:135m` fetches the small demo model")
    try:
        with path.open("rb") as file:
            return _gguf(_Reader(file), path.stat().st_size)
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    except _Broken as error:
        raise _bad(path, f"not a usable GGUF file: {error}") from None


def _bad(path: Path, why: str, hint: str = "") -> ConfigError:
    return ConfigError(Problem(file=str(path), message=why, hint=hint))


class _Broken(Exception):
    """The file breaks the specification or one of our limits."""


class _Reader:
    """Takes little-endian values from the front of a file, never more than MAX_HEADER bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_HEADER

    def take(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise _Broken(f"its header is longer than {MAX_HEADER} bytes")
        data = self._file.read(size)
        if len(data) != size:
            raise _Broken("it ends inside its header")
        return data

    def number(self, letter: str = "Q") -> int:
        """An unsigned integer: `I` of 4 bytes, `Q` of 8."""
        value = _unpacked(letter, self.take(struct.calcsize(letter)))
        return int(value)

    def count(self, limit: int, what: str) -> int:
        value = self.number()
        if value > limit:
            raise _Broken(f"it claims {value} {what}")
        return value

    def text(self) -> str:
        return self.take(self.count(MAX_STRING, "bytes of text")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Value:
        """A metadata value; arrays are read over, we need none."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            self._skip_array(depth)
            return None
        letter = _letter(kind)
        return _unpacked(letter, self.take(struct.calcsize(letter)))

    def _skip_array(self, depth: int) -> None:
        kind, items = self.number("I"), self.count(MAX_ITEMS, "array items")
        if depth >= MAX_DEPTH:
            raise _Broken("its arrays are nested too deeply")
        if kind not in (_STRING, _ARRAY):
            self.take(items * struct.calcsize(_letter(kind)))
            return
        for _ in range(items):
            self.value(kind, depth + 1)


def _letter(kind: int) -> str:
    letter = _SCALARS[kind] if kind < len(_SCALARS) else ""
    if not letter:
        raise _Broken(f"it holds a value of the unknown type {kind}")
    return letter


def _unpacked(letter: str, data: bytes) -> bool | int | float:
    value: bool | int | float = struct.unpack("<" + letter, data)[0]
    return value


def _gguf(reader: _Reader, size: int) -> Gguf:
    if reader.take(4) != MAGIC:
        raise _Broken("it does not begin with GGUF")
    if (version := reader.number("I")) not in VERSIONS:
        raise _Broken(f"version {version} of the format is not known here")
    tensors = reader.count(MAX_TENSORS, "tensors")
    pairs = reader.count(MAX_PAIRS, "metadata keys")
    facts = {reader.text(): reader.value(reader.number("I")) for _ in range(pairs)}
    return _read_facts(facts, sum(_weights(reader) for _ in range(tensors)), size)


def _weights(reader: _Reader) -> int:
    """How many weights the next tensor of the list has."""
    reader.text()
    if (dimensions := reader.number("I")) > MAX_DIMENSIONS:
        raise _Broken(f"it claims a tensor of {dimensions} dimensions")
    weights = 1
    for _ in range(dimensions):
        weights *= reader.number()
    reader.take(struct.calcsize("<IQ"))
    return weights


def _read_facts(facts: dict[str, Value], parameters: int, size: int) -> Gguf:
    architecture = str(facts.get("general.architecture") or "")
    file_type = _integer(facts, "general.file_type", -1)

    def of(key: str) -> int:
        return _integer(facts, f"{architecture}.{key}")

    heads = of("attention.head_count") or 1
    width = of("attention.key_length") or of("embedding_length") // heads
    kv_heads = of("attention.head_count_kv") or heads
    return Gguf(
        architecture=architecture,
        context_length=of("context_length"),
        embedding_length=of("embedding_length"),
        parameters=parameters,
        quantization=_FILE_TYPES.get(file_type, ""),
        chat_template=str(facts.get("tokenizer.chat_template") or ""),
        size=size,
        kv_bytes=2 * 2 * of("block_count") * kv_heads * width,
    )


def _integer(facts: dict[str, Value], key: str, absent: int = 0) -> int:
    value = facts.get(key)
    return value if isinstance(value, int) and 0 <= value < 2**48 else absent
