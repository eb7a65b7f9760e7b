"""A language model with random weights: real GGUF, real llama.cpp, nonsense words.

    path = make_gguf(tmp_path / "tiny.gguf")

About 0.5 MB, made in well under 0.1 s, loads in about 13 ms. It never stops by itself
in free text, so always send max_tokens. `blocks` and `width` make a slower one
(models.md section 5, where the recipe comes from).
"""

from pathlib import Path

import gguf
import numpy as np

HEADS, KV_HEADS = 4, 2
CONTEXT = 2048
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = (
    *("the", "agent", "fleet", "keeper", "daemon", "model", "host", "socket", "port", "token"),
    *("stream", "turn", "run", "session", "tool", "answer", "question", "hello", "world"),
    *("user", "server", "start", "stop", "ready", "wait", "and", "is", "of", "to", "in"),
)

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL_TEMPLATE = "{% if tools %}{{ tools | tojson }}{% endif %}" + TEMPLATE


def make_gguf(
    path: Path, *, template: str = TEMPLATE, blocks: int = 2, width: int = 64, name: str = "tiny"
) -> Path:
    """Write the model to `path` and return the path; the same arguments give the same bytes."""
    tokens, merges = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    write_keys(writer, name, blocks, width)
    write_tokenizer(writer, tokens, merges, template)
    for tensor, values in tensors(len(tokens), blocks, width):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def printable() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in own else next(spare)) for byte in range(256)]


def vocabulary() -> tuple[list[str], list[str]]:
    """The tokens and the merges that build the words up from left to right."""
    tokens, merges = printable(), list[str]()
    for word in WORDS:
        left = word[0]
        for right in word[1:]:
            if left + right not in tokens:
                merges.append(f"{left} {right}")
                tokens.append(left + right)
            left += right
    return [*tokens, *SPECIALS], merges


def write_keys(writer: gguf.GGUFWriter, name: str, blocks: int, width: int) -> None:
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(3 * width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_vocab_size(len(vocabulary()[0]))


def write_tokenizer(
    writer: gguf.GGUFWriter, tokens: list[str], merges: list[str], template: str
) -> None:
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIALS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([*kinds, *[gguf.TokenType.CONTROL] * len(SPECIALS)])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def tensors(vocab: int, blocks: int, width: int) -> list[tuple[str, "np.ndarray"]]:
    """Names and float32 values of every tensor."""
    random = np.random.default_rng(7)
    kv, wide = width // HEADS * KV_HEADS, 3 * width

    def noise(rows: int, columns: int) -> "np.ndarray":
        return (random.standard_normal((rows, columns)) * 0.3).astype(np.float32)

    made = [("token_embd.weight", noise(vocab, width))]
    shapes = {
        "attn_q": (width, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, width),
        "ffn_gate": (wide, width),
        "ffn_up": (wide, width),
        "ffn_down": (width, wide),
    }
    for block in range(blocks):
        ones = np.ones(width, np.float32)
        made += [(f"blk.{block}.{part}.weight", ones) for part in ("attn_norm", "ffn_norm")]
        made += [(f"blk.{block}.{part}.weight", noise(*size)) for part, size in shapes.items()]
    return [
        *made,
        ("output_norm.weight", np.ones(width, np.float32)),
        ("output.weight", noise(vocab, width)),
    ]
