"""A tensor type of one's own: 6 bits a weight, one scale for each row.

One class with a numpy codec is a type like any other: files hold it, `ggtui convert` writes it, and a model runs from
it without ever being in memory as floats, since 32 rows at a time are decoded as they are multiplied. A command needs
only be told of this file:

    ggtui convert model.gguf small.gguf --type row6 --type-from examples/07_custom_quant.py
    ggtui chat small.gguf --type-from examples/07_custom_quant.py
    GGTUI_TYPE_FROM=examples/07_custom_quant.py ggtui perplexity small.gguf story.txt
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ggtui import load, register_type
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert


@register_type
class Row6:
    """A row is a float32 scale and then 4 weights in each 3 bytes, as numbers from -31 to 31.

    A type by blocks is the same with head = 0, and a scale in each of its blocks instead.
    """

    name = "row6"
    head = 4  # bytes a row begins with
    block, bytes = 4, 3  # weights, and the bytes they take together

    @staticmethod
    def encode(rows: NDArray[np.float32]) -> NDArray[np.uint8]:  # (n, ne0) -> (n, 4 + ne0 * 3 / 4)
        scale = np.abs(rows).max(axis=1, keepdims=True) / np.float32(31)
        q = np.rint(rows / np.where(scale > 0, scale, 1)) + 32
        q = q.astype(np.uint32).reshape(len(rows), -1, 4)
        word = q[..., 0] | q[..., 1] << 6 | q[..., 2] << 12 | q[..., 3] << 18
        three = word.astype("<u4").view(np.uint8).reshape(len(rows), -1, 4)[..., :3]
        return np.hstack([scale.view(np.uint8), three.reshape(len(rows), -1)])

    @staticmethod
    def decode(rows: NDArray[np.uint8]) -> NDArray[np.float32]:  # and back
        scale = np.ascontiguousarray(rows[:, :4]).view(np.float32)
        three = rows[:, 4:].reshape(len(rows), -1, 3).astype(np.uint32)
        word = three[..., 0] | three[..., 1] << 8 | three[..., 2] << 16
        q = np.stack([word >> shift & 63 for shift in (0, 6, 12, 18)], axis=-1).reshape(len(rows), -1)
        return scale * (q.astype(np.float32) - 32)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "row6.gguf"
        with open_model(BUILT_IN) as model:
            done = convert(model, path, "row6", errors=True)
        worst = max(done.tensors, key=lambda t: t.rmse or 0)
        print(f"{done.src_bytes:,} bytes became {done.n_bytes:,}; largest rms error {worst.rmse:.4f}, in {worst.name}")
        session = load(path)
        for step in session.generate("Once upon a time", n_predict=30, temp=0):
            print(step.text, end="", flush=True)
        print()
