"""The model host's slots fit the memory."""

import msgspec

from atoll.adapters.gguf import Gguf
from atoll.adapters.slots import Slots, slots_of

SMOL = Gguf(
    architecture="llama",
    context_length=8192,
    embedding_length=576,
    parameters=134_515_008,
    quantization="Q4_1",
    chat_template="",
    size=98_362_432,
    kv_bytes=2 * 2 * 30 * 3 * 64,
)


def test_smollm2_gets_four_slots_within_256_mib():
    slots = slots_of(SMOL)
    assert slots == Slots(4, 2816)
    assert slots.count * slots.context * SMOL.kv_bytes <= 256 * 1024 * 1024


def test_a_big_model_gets_fewer_slots_before_they_get_too_short():
    big = msgspec.structs.replace(SMOL, size=4_000_000_000, kv_bytes=160 * 1024)
    assert slots_of(big) == Slots(2, 2816)


def test_a_short_model_gets_no_more_than_it_has():
    assert slots_of(msgspec.structs.replace(SMOL, context_length=512)) == Slots(4, 512)


def test_a_model_that_says_nothing_gets_the_least():
    silent = msgspec.structs.replace(SMOL, context_length=0, kv_bytes=0)
    assert slots_of(silent) == Slots(4, 2048)


def test_the_parameter_count_is_written_as_ollama_does():
    assert SMOL.parameter_size == "134.5M"
    assert msgspec.structs.replace(SMOL, parameters=0).parameter_size == ""
