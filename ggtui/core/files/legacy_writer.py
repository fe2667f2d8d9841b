"""Writes legacy ggml GPT-2 files, as far as they can hold a model: see legacy.py."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ggtui.core import saving
from ggtui.core.errors import UsageError
from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.gguf_writer import OutTensor, write_data
from ggtui.core.files.legacy import EPS, FTYPES, HEADER, MAGIC, MAX_TOKEN, QUANTIZATION_VERSION, UNQUANTIZED, vocabulary
from ggtui.core.files.names.gpt2 import legacy_names
from ggtui.core.vocab.bpe import BYTE_ALPHABET, NORMAL, UNUSED

_BYTES = {ord(c): b for b, c in enumerate(BYTE_ALPHABET)}
_MATRICES = ("token_embd.weight", "output.weight", "attn_qkv.weight", "ffn_up.weight", "ffn_down.weight")  # endings


def write_legacy(
    path: str | Path, metadata: Mapping[str, Any], tensors: Iterable[OutTensor], *, overwrite: bool = True
) -> None:
    """Write a model file, or into a pipe. Whatever `path` was stays as it is until the new file is complete.

    Raises UsageError for what the format cannot hold (another architecture, matrices of several types, tokens that are
    not in the order of their merges) and, without `overwrite`, for a file that exists, GgtuiError if writing fails.
    """
    tensors = list(tensors)
    hparams = _hparams(metadata)
    tokens = _tokens(metadata)
    names = {name: raw for raw, name in legacy_names(hparams["n_layer"]).items()}
    given = {t.name for t in tensors} | {"output.weight"}
    for name in names:
        if name not in given:
            _refuse(f"a model without the tensor {name}")
    for tensor in tensors:
        if tensor.name not in names:
            _refuse(f"the tensor {tensor.name}")
        if tensor.name == "token_embd.weight" and tensor.ne[1:] != (len(tokens),):
            _refuse(f"{len(tokens)} tokens for {tensor.name} of {tensor.ne}")
    header = [MAGIC, *map(_i32, hparams.values()), _i32(_ftype(tensors)), _i32(len(tokens))]
    for token in tokens:
        header += [_i32(len(token)), token]
    with saving.output(path, durable=True, overwrite=overwrite) as file:
        file.write(b"".join(header))
        for tensor in tensors:
            raw = names[tensor.name].encode()
            numbers = (len(tensor.ne), len(raw), tensor.type.id, *tensor.ne)
            file.write(b"".join([*map(_i32, numbers), raw]))
            write_data(file, tensor)


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"legacy .bin: cannot hold {what}; write GGUF")


def _fields(metadata: Mapping[str, Any]) -> Fields:
    return Fields(metadata, lambda key, problem: _refuse(f"{key}, which {problem}"))


def _i32(number: int) -> bytes:
    return struct.pack("<i", number)


def _hparams(metadata: Mapping[str, Any]) -> dict[str, int]:
    """The numbers of the header, in its order."""
    fields = _fields(metadata)
    architecture = fields.text("general.architecture")
    if architecture != "gpt2":
        _refuse(f"a model of architecture {shown(architecture)}")
    keys = ("context_length", "embedding_length", "attention.head_count", "block_count")
    hparams = {"n_vocab": len(fields.texts("tokenizer.ggml.tokens"))}
    for name, key in zip(("n_ctx", "n_embd", "n_head", "n_layer"), keys, strict=True):
        hparams[name] = metadata.get(f"gpt2.{key}", 0)
    for name, value in hparams.items():
        if type(value) is not int or not 1 <= value <= HEADER[name]:
            _refuse(f"{name} {shown(value)}, only 1 to {HEADER[name]}")
    activation = fields.text("gpt2.activation_function", "gelu_new")
    if activation != "gelu_new":
        _refuse(f"gpt2.activation_function {shown(activation)}, only 'gelu_new'")
    n_ff = fields.whole("gpt2.feed_forward_length", 1, 4 * HEADER["n_embd"], 4 * hparams["n_embd"])
    if n_ff != 4 * hparams["n_embd"]:
        _refuse(f"gpt2.feed_forward_length {n_ff}, only {4 * hparams['n_embd']}")
    eps = fields.fraction("gpt2.attention.layer_norm_epsilon", EPS)
    if np.float32(eps) != np.float32(EPS):
        _refuse(f"gpt2.attention.layer_norm_epsilon {eps!r}, only {EPS}")
    return hparams


def _tokens(metadata: Mapping[str, Any]) -> list[bytes]:
    """The bytes of each token. Reading them again must give the same vocabulary."""

    fields, key = _fields(metadata), "tokenizer.ggml.{}".format
    names, merges = fields.texts(key("tokens")), fields.texts(key("merges"))
    types = fields.wholes(key("token_type"), [NORMAL] * len(names)).tolist()
    model, pre = fields.text(key("model")), fields.text(key("pre"), "default")
    if model != "gpt2" or pre not in ("gpt-2", "default"):
        _refuse(f"the vocabulary {shown(model)} {shown(pre)}, only GPT-2's")
    if len(types) != len(names):
        _refuse(f"{len(types)} types of {len(names)} tokens")
    tokens = []
    for id, (name, kind) in enumerate(zip(names, types, strict=True)):
        if kind == UNUSED and name == f"[PAD{id}]":
            tokens.append(b"")
        elif kind == NORMAL and set(map(ord, name)) <= _BYTES.keys():
            tokens.append(bytes(_BYTES[ord(c)] for c in name))
        else:
            tokens.append(name.encode("utf-8", "replace"))
        if len(tokens[-1]) > MAX_TOKEN:
            _refuse(f"token {id} of {len(tokens[-1])} bytes, only {MAX_TOKEN}")
    try:
        again = vocabulary(tokens)
    except ValueError as error:
        _refuse(f"this vocabulary, which {error}")
    if again[key("tokens")] != list(names) or again[key("merges")] != list(merges):
        _refuse("this vocabulary, whose ids are not in the order of its merges")
    eos = fields.whole(key("eos_token_id"), 0, len(names) - 1) if key("eos_token_id") in fields else None
    if eos not in (None, again.get(key("eos_token_id"))):
        _refuse(f"the end-of-text token {eos}, only <|endoftext|>")
    return tokens


def _ftype(tensors: Sequence[OutTensor]) -> int:
    """The header's word for the types: ggml wants all matrices to be of one and the rest f32."""
    types = {t.type.name for t in tensors if t.name.endswith(_MATRICES)}
    other = next((t for t in tensors if not t.name.endswith(_MATRICES) and t.type.name != "f32"), None)
    if other is not None:
        _refuse(f"{other.name} as {other.type.name}, only as f32")
    if len(types) != 1:
        _refuse(f"matrices of several types, {', '.join(sorted(types))}")
    name = types.pop()
    if name not in FTYPES:
        _refuse(f"matrices of type {name}, only {', '.join(FTYPES)}")
    return FTYPES[name] + (0 if name in UNQUANTIZED else 1000 * QUANTIZATION_VERSION)
