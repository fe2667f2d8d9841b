"""A small GPT-2 of random weights, to be written in any format."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.vocab.bpe import BYTE_ALPHABET

N_CTX, N_EMBD, N_HEAD, N_LAYER = 16, 64, 4, 2
MERGES = ("h e", "t h", "he r", "Ġ t", "Ġt he", "Ġ Ġ", "ĠĠ ĠĠ")
TOKENS = (*sorted(BYTE_ALPHABET), *(merge.replace(" ", "") for merge in MERGES), "<|endoftext|>")
DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(bool): "BOOL", np.dtype(np.int64): "I64"}


def weights() -> dict[str, Any]:
    """As Hugging Face names and shapes them."""
    rng = np.random.default_rng(7)

    def random(*shape: int) -> Any:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    w = {"wte.weight": random(len(TOKENS), N_EMBD), "wpe.weight": random(N_CTX, N_EMBD)}
    w |= {"ln_f.weight": 1 + random(N_EMBD), "ln_f.bias": random(N_EMBD)}
    for il in range(N_LAYER):
        for norm in ("ln_1", "ln_2"):
            w |= {f"h.{il}.{norm}.weight": 1 + random(N_EMBD), f"h.{il}.{norm}.bias": random(N_EMBD)}
        for name, n_in, n_out in (
            ("attn.c_attn", 1, 3),
            ("attn.c_proj", 1, 1),
            ("mlp.c_fc", 1, 4),
            ("mlp.c_proj", 4, 1),
        ):
            w[f"h.{il}.{name}.weight"] = random(n_in * N_EMBD, n_out * N_EMBD)
            w[f"h.{il}.{name}.bias"] = random(n_out * N_EMBD)
    return w


def config() -> dict[str, Any]:
    sizes = {"n_positions": N_CTX, "n_embd": N_EMBD, "n_head": N_HEAD, "n_layer": N_LAYER, "vocab_size": len(TOKENS)}
    eos = TOKENS.index("<|endoftext|>")
    return {"model_type": "gpt2", **sizes, "layer_norm_epsilon": 1e-5, "bos_token_id": eos, "eos_token_id": eos}


def safetensors(tensors: dict[str, Any], padding: int = 0) -> bytes:
    """The bytes of a safetensors file. An array of uint16 is taken for BF16."""
    header, data = dict[str, Any](), b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        dtype = "BF16" if array.dtype == np.uint16 else DTYPES[array.dtype]
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + data


@dataclass
class SmallModel:
    """The parts of a Hugging Face folder, to be changed before it is written."""

    weights: dict[str, Any] = field(default_factory=weights)
    config: dict[str, Any] = field(default_factory=config)
    vocab: dict[str, int] = field(default_factory=lambda: {token: id for id, token in enumerate(TOKENS)})
    merges: tuple[str, ...] = MERGES

    def write(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        (folder / "model.safetensors").write_bytes(safetensors(self.weights))
        (folder / "vocab.json").write_text(json.dumps(self.vocab))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(self.merges) + "\n")
        return folder


@pytest.fixture
def model() -> SmallModel:
    return SmallModel()


@pytest.fixture
def folder(model: SmallModel, tmp_path: Path) -> Path:
    """The small model as Hugging Face keeps it."""
    return model.write(tmp_path / "small")


@pytest.fixture(scope="session")
def as_safetensors() -> Callable[..., bytes]:
    return safetensors


@pytest.fixture(scope="session")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `folder`, but one for all tests, which must leave it alone."""
    return SmallModel().write(tmp_path_factory.mktemp("models") / "small")
