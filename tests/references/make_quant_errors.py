"""Saves how far ggml's own quantizers are off, per tensor type: quant_errors.json.

Needs `pip install llama-cpp-python gguf numpy`, whose library has ggml_quantize_chunk; it is called without an
importance matrix. Errors are root mean squares over DATA, decoded by the gguf package.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType
from numpy.typing import NDArray

TYPES = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs")


def data() -> dict[str, NDArray[np.float32]]:
    """The weights, 4096 of each kind."""
    return {
        "normal": np.random.default_rng(7).normal(size=4096).astype(np.float32),
        "cos": (0.1 + 2 * np.cos(np.arange(4096))).astype(np.float32),
    }


def library() -> Path:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise SystemExit("make_quant_errors: no llama_cpp here; pip install llama-cpp-python, or give --library")
    return next(Path(spec.origin).parent.rglob("libggml-base.*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, help="libggml-base; that of llama-cpp-python by default")
    ggml = ctypes.CDLL(str(parser.parse_args().library or library()))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    numbers = [ctypes.c_int64] * 3
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *numbers, ctypes.c_void_p]
    errors: dict[str, dict[str, float]] = {}
    for name in TYPES:
        type = GGMLQuantizationType[name.upper()]
        block, size = gguf.GGML_QUANT_SIZES[type]
        errors[name] = {}
        for kind, x in data().items():
            q = np.zeros(x.size // block * size, np.uint8)
            ggml.ggml_quantize_chunk(type, x.ctypes.data, q.ctypes.data, 0, 1, x.size, None)
            error = gguf.quants.dequantize(q, type).astype(np.float64) - x
            errors[name][kind] = float(np.sqrt(np.mean(error**2)))
    text = json.dumps(errors, indent=2)
    Path(__file__).with_name("quant_errors.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
