"""Makes the saved references of the GPT-2 tests: what `transformers`, run in float32 on a CPU, says.

    python tests/references/make_references.py --tales F32_GGUF --heldout TEXT --gguf ggtui/data/tales.gguf

writes `tales.npz`, `tales_q8_0.npz`, `small.npz` and `perplexity.npz` beside this file; README.md lists their
arrays. It needs torch, transformers 5 and gguf, of which ggtui needs none and its tests only gguf. All is seeded and
runs on one thread, so the same packages on the same machine write the same bytes. F32_GGUF is the built-in model as it
was trained, before its weights became Q8_0: `f32/tales.gguf` of docs/built-in/make.py.

Both models use `gelu_new` (the tanh form) and a head tied to the token embedding.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

HERE = Path(__file__).resolve().parent

PASSAGE_START = "Once upon a time there was a farmer called Jan"
PASSAGE_TOKENS = 96
PROMPT_TOKENS = 16
GREEDY_TOKENS = 60

CHUNK_TOKENS = 512
MAX_CHUNKS = 24

SMALL = GPT2Config(
    n_layer=2,
    n_embd=64,
    n_head=4,
    vocab_size=199,
    n_positions=64,
    layer_norm_epsilon=1e-5,
    activation_function="gelu_new",
    tie_word_embeddings=True,
    bos_token_id=198,
    eos_token_id=198,
)
SMALL_TOKENS = 48
SMALL_SEED = 1234
SMALL_LOGIT_REACH = 20.0

BLOCK_NAMES = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
"""Part of a block: its name in GGUF, its name in transformers."""


def eval_logits(model: GPT2LMHeadModel, tokens: I32) -> F32:
    """Logits (n_tokens, n_vocab) of `tokens` (n_tokens,), evaluated together from an empty cache."""
    with torch.inference_mode():
        output = model(input_ids=torch.tensor(tokens[None, :], dtype=torch.long), use_cache=False)
    logits: F32 = output.logits[0].numpy()
    if logits.dtype != np.float32 or not np.isfinite(logits).all():
        raise RuntimeError(f"logits must be finite float32, got {logits.dtype}")
    return logits


def argmax(logits: F32) -> I32:
    """Best token (n_tokens,) at each position of `logits` (n_tokens, n_vocab); the lowest id wins a tie."""
    best: I32 = np.argmax(logits, axis=-1).astype(np.int32)
    return best


def greedy(model: GPT2LMHeadModel, prompt: I32, n_predict: int) -> I32:
    """Greedy continuation (n_predict,) of `prompt`; each step evaluates all tokens anew, without a cache."""
    tokens = prompt
    for _ in range(n_predict):
        tokens = np.concatenate([tokens, argmax(eval_logits(model, tokens)[-1:])])
    return tokens[len(prompt) :]


def tales_reference(model: GPT2LMHeadModel, tokenizer: GPT2Tokenizer, text: str) -> Arrays:
    """Logits at three positions of a passage of `text`, and the greedy continuation of its start."""
    tokens = encode(tokenizer, text[text.index(PASSAGE_START) :])[:PASSAGE_TOKENS]
    logits = eval_logits(model, tokens)
    positions = np.array([0, PASSAGE_TOKENS // 2, PASSAGE_TOKENS - 1], dtype=np.int32)
    first, middle, last = logits[positions]
    return {
        "tokens": tokens,
        "positions": positions,
        "logits_first": first,
        "logits_middle": middle,
        "logits_last": last,
        "argmax": argmax(logits),
        "range": np.float32(logits.max() - logits.min()),
        "greedy": greedy(model, tokens[:PROMPT_TOKENS], GREEDY_TOKENS),
    }


def small_weights(rng: np.random.Generator) -> dict[str, F32]:
    """Random weights of the small model by GGUF name; matrices are (out, in).

    Their scales keep every part at work: attention neither flat nor one-hot, gelu on both sides of its bend,
    norms with gain and bias, blocks that outweigh the embedding (else, the head being tied, the best next
    token is the last one again), and logits of deviation near 8, the square root of n_embd.
    """

    def normal(mean: float, deviation: float, *shape: int) -> F32:
        return (mean + deviation * rng.standard_normal(shape)).astype(np.float32)

    n_embd = SMALL.n_embd
    weights = {
        "token_embd.weight": normal(0, 1.0, SMALL.vocab_size, n_embd),
        "position_embd.weight": normal(0, 0.5, SMALL.n_positions, n_embd),
    }
    for i in range(SMALL.n_layer):
        for part in ("attn_norm", "ffn_norm"):
            weights[f"blk.{i}.{part}.weight"] = normal(1.0, 0.2, n_embd)
            weights[f"blk.{i}.{part}.bias"] = normal(0, 0.1, n_embd)
        for part, n_out, n_in, gain in (
            ("attn_qkv", 3 * n_embd, n_embd, 1.2),
            ("attn_output", n_embd, n_embd, 3.0),
            ("ffn_up", 4 * n_embd, n_embd, 1.2),
            ("ffn_down", n_embd, 4 * n_embd, 3.0),
        ):
            weights[f"blk.{i}.{part}.weight"] = normal(0, gain / np.sqrt(n_in), n_out, n_in)
            weights[f"blk.{i}.{part}.bias"] = normal(0, 0.2, n_out)
    weights["output_norm.weight"] = normal(1.0, 0.2, n_embd)
    weights["output_norm.bias"] = normal(0, 0.1, n_embd)
    return weights


def hugging_face_name(name: str) -> str:
    """The name in transformers of the tensor called `name` in GGUF."""
    outer = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f"}
    stem, kind = name.rsplit(".", 1)
    if stem in outer:
        return f"transformer.{outer[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"transformer.h.{layer}.{BLOCK_NAMES[part]}.{kind}"


def model_of(config: GPT2Config, weights: dict[str, F32]) -> GPT2LMHeadModel:
    """A model with the given weights, by their GGUF names; matrices are (out, in). The head is the embedding."""
    state = {"lm_head.weight": torch.from_numpy(weights["token_embd.weight"])}
    for name, weight in weights.items():
        # Conv1D, the linear layer of this model in transformers, multiplies by (in, out).
        is_linear = name.startswith("blk.") and weight.ndim == 2
        state[hugging_face_name(name)] = torch.from_numpy(weight.T.copy() if is_linear else weight)
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")
    model.train(False)
    model.load_state_dict(state, strict=True)
    return model


def dequantized(path: Path) -> dict[str, F32]:
    """The weights of a GGUF file as float32, as the gguf package reads them."""
    tensors = gguf.GGUFReader(path).tensors
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in tensors}


def described(path: Path) -> tuple[GPT2Config, GPT2Tokenizer]:
    """What the metadata of a GGUF file says of its GPT-2: the sizes and the vocabulary."""
    about = {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}
    tokens = about["tokenizer.ggml.tokens"]
    config = GPT2Config(
        n_layer=about["gpt2.block_count"],
        n_embd=about["gpt2.embedding_length"],
        n_head=about["gpt2.attention.head_count"],
        n_inner=about["gpt2.feed_forward_length"],
        vocab_size=len(tokens),
        n_positions=about["gpt2.context_length"],
        layer_norm_epsilon=about["gpt2.attention.layer_norm_epsilon"],
        activation_function="gelu_new",
        tie_word_embeddings=True,
        bos_token_id=about["tokenizer.ggml.bos_token_id"],
        eos_token_id=about["tokenizer.ggml.eos_token_id"],
    )
    merges = [tuple(merge.split(" ")) for merge in about["tokenizer.ggml.merges"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return config, GPT2Tokenizer(vocab=vocabulary, merges=merges)


def small_reference() -> Arrays:
    """A small random model, whole: every weight, the tokens, all logits (n_tokens, n_vocab).

    Raises RuntimeError when the weights do not fit the model or the logits stay within SMALL_LOGIT_REACH:
    logits near zero would let a wrong kernel pass under an absolute tolerance.
    """
    rng = np.random.default_rng(SMALL_SEED)
    weights = small_weights(rng)
    tokens = rng.integers(0, SMALL.vocab_size, SMALL_TOKENS, dtype=np.int32)

    model = model_of(SMALL, weights)
    logits = eval_logits(model, tokens)
    if logits.max() < SMALL_LOGIT_REACH or logits.min() > -SMALL_LOGIT_REACH:
        raise RuntimeError(f"logits must pass +-{SMALL_LOGIT_REACH}, got {logits.min()} to {logits.max()}")
    return {**weights, "tokens": tokens, "logits": logits, "argmax": argmax(logits)}


def perplexity_reference(model: GPT2LMHeadModel, tokenizer: GPT2Tokenizer, text: str) -> Arrays:
    """Perplexity as llama.cpp's tool defines it, over at most MAX_CHUNKS chunks of CHUNK_TOKENS tokens.

    The whole text is tokenized without BOS and cut in chunks, the rest dropped. Each chunk is evaluated from
    an empty cache; its positions n_ctx/2 .. n_ctx-2 count, each predicting the next token. `nll` (n_chunk,)
    holds the sums in nats; ppl = exp(sum(nll) / count). Raises RuntimeError when the text has no whole chunk.
    """
    tokens = encode(tokenizer, text)
    n_chunk = min(len(tokens) // CHUNK_TOKENS, MAX_CHUNKS)
    if n_chunk == 0:
        raise RuntimeError(f"the text has {len(tokens)} tokens, less than one chunk of {CHUNK_TOKENS}")
    chunks = tokens[: n_chunk * CHUNK_TOKENS].reshape(n_chunk, CHUNK_TOKENS)
    first = CHUNK_TOKENS // 2
    nll = np.empty(n_chunk, dtype=np.float64)
    for i, chunk in enumerate(chunks):
        logits = eval_logits(model, chunk)[first:-1].astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        target = np.take_along_axis(logits, chunk[first + 1 :, None].astype(np.int64), axis=-1)[:, 0]
        nll[i] = np.sum(np.log(np.exp(logits).sum(axis=-1)) - target)
    count = np.int64(n_chunk * (CHUNK_TOKENS - 1 - first))
    return {"tokens": chunks, "nll": nll, "count": count, "ppl": np.exp(nll.sum() / count)}


def encode(tokenizer: GPT2Tokenizer, text: str) -> I32:
    """Tokens (n_tokens,) of `text`, without BOS."""
    return np.array(tokenizer.encode(text, add_special_tokens=False), dtype=np.int32)


def save(name: str, arrays: Arrays) -> None:
    """Writes `name` beside this file, uncompressed: the bytes then do not depend on the version of zlib."""
    np.savez(HERE / name, allow_pickle=False, **arrays)
    print(name, {key: array.shape for key, array in arrays.items() if not key.startswith("blk.")})


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line and writes the files."""
    parser = argparse.ArgumentParser(description="Make the saved references of the GPT-2 tests.")
    parser.add_argument("--tales", type=Path, required=True, help="the tales model, a GGUF file in F32")
    parser.add_argument("--heldout", type=Path, required=True, help="a UTF-8 text the model has not seen")
    parser.add_argument("--gguf", type=Path, required=True, help="the built-in model, Q8_0")
    args = parser.parse_args(argv)

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")

    text = args.heldout.read_text(encoding="utf-8")
    config, tokenizer = described(args.tales)
    model = model_of(config, dequantized(args.tales))

    save("tales.npz", tales_reference(model, tokenizer, text))
    quantized = model_of(config, dequantized(args.gguf))
    save("tales_q8_0.npz", tales_reference(quantized, tokenizer, text))
    save("small.npz", small_reference())
    save("perplexity.npz", perplexity_reference(model, tokenizer, text))


if __name__ == "__main__":
    main()
