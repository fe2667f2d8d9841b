"""A model that is larger than the memory: opened, told of, and refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from ggtui.core.engine.model import Model
from ggtui.core.errors import GgtuiError
from ggtui.core.files import open_model
from ggtui.core.models import check_model
from ggtui.core.runtime import complete

N_LAYER, N_EMBD, N_FF, N_KV, N_VOCAB = 80, 8192, 28672, 1024, 128256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A Llama of 70 B weights, Q4_0, all of them zeros that are nowhere on the disk."""
    made = tmp_path / "llama-70b.gguf"
    writer = gguf.GGUFWriter(made, "llama")
    writer.add_block_count(N_LAYER)
    writer.add_context_length(131072)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(64)
    writer.add_head_count_kv(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    n_bytes = 0

    def tensor(name: str, *shape: int) -> None:
        nonlocal n_bytes
        if len(shape) == 1:
            size, dtype, kind = 4 * shape[0], np.dtype(np.float32), None
        else:
            size, dtype, kind = shape[0] * shape[1] // 32 * 18, np.dtype(np.uint8), gguf.GGMLQuantizationType.Q4_0
            shape = (shape[0], shape[1] // 32 * 18)
        writer.add_tensor_info(name, list(shape), dtype, size, kind)
        n_bytes += -(-size // 32) * 32

    tensor("token_embd.weight", N_VOCAB, N_EMBD)
    for il in range(N_LAYER):
        for name, n_out, n_in in (
            ("attn_q", N_EMBD, N_EMBD), ("attn_k", N_KV, N_EMBD), ("attn_v", N_KV, N_EMBD),
            ("attn_output", N_EMBD, N_EMBD), ("ffn_gate", N_FF, N_EMBD), ("ffn_up", N_FF, N_EMBD),
            ("ffn_down", N_EMBD, N_FF),
        ):  # fmt: skip
            tensor(f"blk.{il}.{name}.weight", n_out, n_in)
        tensor(f"blk.{il}.attn_norm.weight", N_EMBD)
        tensor(f"blk.{il}.ffn_norm.weight", N_EMBD)
    tensor("output_norm.weight", N_EMBD)
    tensor("output.weight", N_VOCAB, N_EMBD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with made.open("r+b") as file:
        file.truncate(-(-made.stat().st_size // 32) * 32 + n_bytes)
    return made


def test_seventy_billion_weights(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_model(path) as file:
        assert sum(np.prod(t.ne) for t in file.tensors.values()) > 70e9
        check_model(file)
    monkeypatch.setattr(complete, "free_memory", lambda: 24 << 30)
    with pytest.raises(GgtuiError, match=r"llama-70b.gguf: has 39\.7 GB of weights, and 25\.8 GB of memory are free"):
        Model(path)
