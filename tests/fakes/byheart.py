"""A language model that knows sentences by heart: its weights are written by hand.

    path = make_byheart(tmp_path / "byheart.gguf", [Sentence("Say hello", (b"Hel", b"lo"))])

Real GGUF for real llama.cpp, like the random one of `gguf.py`, but it says what
was asked for and stops: it answers a prompt that holds a cue with the sentence
of that cue. How it does that:

- Every token has a direction of its own in the residual stream, and every cue
  one more. A cue is one token wherever it stands (type USER_DEFINED).
- Attention of the first block: all tokens ask the same question and only cues
  answer, the louder the higher their rank; so the strongest cue of the prompt
  is heard at every position. The other blocks add nothing and only take time.
- The output layer: each piece of a sentence asks for the next one; a cue asks
  for its first piece, more softly, so that it begins and does not interrupt.

A piece is one token and may end inside a character. No piece may be in two
sentences, since only the last token says what comes next.
"""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from msgspec import Struct

from tests.fakes.gguf import SPECIALS, printable

CONTEXT = 8192
WIDTH, HEADS, BLOCKS, FEED_FORWARD = 512, 8, 6, 64
HEAD = WIDTH // HEADS
ANSWER = "<|answer|>"
"""What a template ends its prompts with: without a cue, the first sentence follows."""
LOUD = 20.0
"""How far a cue's score is above that of the rank below, so e^20 times as much is heard of it."""
NEXT, BEGIN, DEFAULT = 3.0, 1.5, 1.0
"""How strongly a piece, a cue, and the template's end ask for what follows."""
STILL = 1e12
"""A base of the rotations with which the last pair of a head does not turn in any context."""


class Sentence(Struct, frozen=True):
    """What is said when `cue` was heard and no cue of a higher rank; it may go on for ever."""

    cue: str
    pieces: tuple[bytes, ...]
    rank: int = 1
    endless: bool = False


class _Vocabulary:
    """Which token has which number; a piece of one byte is that byte's own token."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        self._letters = printable()
        spoken = [self._written(piece) for sentence in sentences for piece in sentence.pieces]
        assert len(set(spoken)) == len(spoken), "a piece is in two sentences"
        longer = [token for token in spoken if len(token) > 1]
        # "he": a tokenizer must have a merge.
        self.plain = [*self._letters, "he", *longer]
        self.cues = [sentence.cue for sentence in sentences]
        self.tokens = [*self.plain, *self.cues, ANSWER, *SPECIALS]
        assert len(set(self.tokens)) == len(self.tokens), "a cue is a piece or another cue"
        assert len(self.cues) <= HEAD, "there are more cues than a head has dimensions"
        assert len(self.tokens) + len(self.cues) <= WIDTH, "the model is too narrow"

    def pieces(self, sentence: Sentence) -> list[int]:
        """The numbers of a sentence's pieces."""
        return [self.of(self._written(piece)) for piece in sentence.pieces]

    def of(self, token: str) -> int:
        """The number of a token."""
        return self.tokens.index(token)

    def heard(self, number: int) -> int:
        """The direction in which the cue of a sentence is heard."""
        return len(self.tokens) + number

    def _written(self, piece: bytes) -> str:
        return "".join(self._letters[byte] for byte in piece)


def make_byheart(path: Path, sentences: Sequence[Sentence], template: str) -> Path:
    """Write a model that says the first sentence when it hears no cue; returns the path."""
    words = _Vocabulary(sentences)
    writer = gguf.GGUFWriter(path, "llama")
    _write_keys(writer, len(words.tokens))
    _write_tokenizer(writer, words, template)
    for name, values in _tensors(words, sentences):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_keys(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    writer.add_name("by heart")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(STILL)
    writer.add_vocab_size(vocabulary)


def _write_tokenizer(writer: gguf.GGUFWriter, words: _Vocabulary, template: str) -> None:
    kinds = [gguf.TokenType.NORMAL] * len(words.plain)
    kinds += [gguf.TokenType.USER_DEFINED] * len(words.cues)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words.tokens)
    writer.add_token_types([*kinds, *[gguf.TokenType.CONTROL] * (1 + len(SPECIALS))])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(words.of("<|im_start|>"))
    writer.add_eos_token_id(words.of("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _tensors(words: _Vocabulary, sentences: Sequence[Sentence]) -> list[tuple[str, "np.ndarray"]]:
    """Names and float32 values of every tensor."""
    made = [("token_embd.weight", np.eye(len(words.tokens), WIDTH, dtype=np.float32))]
    for block in range(BLOCKS):
        parts = _silent() | (_listening(words, sentences) if block == 0 else {})
        made += [(f"blk.{block}.{part}.weight", values) for part, values in parts.items()]
    return [
        *made,
        ("output_norm.weight", np.ones(WIDTH, np.float32)),
        ("output.weight", _speaking(words, sentences)),
    ]


def _silent() -> dict[str, "np.ndarray"]:
    """A block that adds nothing."""
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (HEAD, WIDTH),
        "attn_v": (HEAD, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (FEED_FORWARD, WIDTH),
        "ffn_up": (FEED_FORWARD, WIDTH),
        "ffn_down": (WIDTH, FEED_FORWARD),
    }
    zeros = {part: np.zeros(shape, np.float32) for part, shape in shapes.items()}
    return zeros | {part: np.ones(WIDTH, np.float32) for part in ("attn_norm", "ffn_norm")}


def _listening(words: _Vocabulary, sentences: Sequence[Sentence]) -> dict[str, "np.ndarray"]:
    """The first head hears the strongest cue; norms scale a token's direction by sqrt(WIDTH)."""
    query, key, value, output = (
        np.zeros(shape, np.float32)
        for shape in ((WIDTH, WIDTH), (HEAD, WIDTH), (HEAD, WIDTH), (WIDTH, WIDTH))
    )
    still = HEAD - 1  # of the pair that does not turn
    query[still, : len(words.tokens)] = 1.0
    for number, sentence in enumerate(sentences):
        cue = words.of(sentence.cue)
        key[still, cue] = LOUD * sentence.rank * HEAD**0.5 / WIDTH
        value[number, cue] = WIDTH**-0.5
        output[words.heard(number), number] = 1.0
    return {"attn_q": query, "attn_k": key, "attn_v": value, "attn_output": output}


def _speaking(words: _Vocabulary, sentences: Sequence[Sentence]) -> "np.ndarray":
    """Row: the token that is asked for; column: the direction that asks for it."""
    asks = np.zeros((len(words.tokens), WIDTH), np.float32)
    asks[words.pieces(sentences[0])[0], words.of(ANSWER)] = DEFAULT
    for number, sentence in enumerate(sentences):
        places = words.pieces(sentence)
        asks[places[0], words.heard(number)] = BEGIN
        last = places[0] if sentence.endless else words.of("<|im_end|>")
        for now, following in zip(places, [*places[1:], last], strict=True):
            asks[following, now] = NEXT
    return asks
