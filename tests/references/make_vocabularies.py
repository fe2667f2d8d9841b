"""Makes tests/data/vocab from llama.cpp's vocabularies, models/ggml-vocab-*.gguf with .inp and .out beside them.

    python tests/references/make_vocabularies.py path/to/llama.cpp/models

A file is xz: a line of JSON, with the metadata, the texts that are listed, and the tokens that llama.cpp lists for them
("cases"), and the sizes of the arrays after it ("sizes", in bytes): the texts of the tokens, all in one; of each its
length in characters, uint16, its kind, uint8, and its score, float32; and of the merges the token that each makes,
int32, as the difference to the one before, and how many characters its left part has, uint16. A file that is "like"
another has the arrays of that one.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path

import numpy as np

from ggtui.core.files import open_model

OUT = Path(__file__).parents[1] / "data" / "vocab"
SEPARATOR = "\n__ggml_vocab_test__\n"
NAMES = (
    "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "llama-bpe", "llama-spm", "mpt", "phi-3",
    "qwen2", "qwen35", "refact", "starcoder",
)  # fmt: skip
LIKE = {"qwen35": "qwen2"}  # the same tokens and merges


def arrays_of(metadata: dict[str, object]) -> list[bytes]:
    tokens, merges = list(metadata.pop("tokens")), list(metadata.pop("merges", []))  # type: ignore[call-overload]
    ids = {token: id for id, token in enumerate(tokens)}
    left = [merge.index(" ", 1) for merge in merges]
    made = np.array([ids[merge[:n] + merge[n + 1 :]] for merge, n in zip(merges, left, strict=True)], np.int32)
    arrays = {
        "lengths": np.array(list(map(len, tokens)), np.uint16),
        "types": np.asarray(metadata.pop("token_type"), np.uint8),
        "scores": np.asarray(metadata.pop("scores", []), np.float32),
        "made": np.diff(made, prepend=np.int32(0)),
        "left": np.array(left, np.uint16),
    }
    return ["".join(tokens).encode(), *(array.tobytes() for array in arrays.values())]


def main(models: Path) -> None:
    kept: dict[str, list[bytes]] = {}
    for name in NAMES:
        path = models / f"ggml-vocab-{name}.gguf"
        with open_model(path) as file:
            prefix = "tokenizer.ggml."
            metadata = {k.removeprefix(prefix): v for k, v in file.metadata.items() if k.startswith(prefix)}
        metadata = {k: v for k, v in metadata.items() if "template" not in k}
        kept[name] = arrays_of(metadata)
        texts = path.with_suffix(".gguf.inp").read_bytes().decode().split(SEPARATOR)
        lines = path.with_suffix(".gguf.out").read_text().split("\n")[: len(texts)]
        cases = [[text, list(map(int, line.split()))] for text, line in zip(texts, lines, strict=True)]
        header = {"metadata": metadata, "cases": cases, "like": LIKE.get(name)}
        arrays = kept[name]
        if name in LIKE:
            assert arrays == kept[LIKE[name]]
            arrays = []
        line = json.dumps(header | {"sizes": list(map(len, arrays))}).encode()
        packed = lzma.compress(line + b"\n" + b"".join(arrays), preset=9 | lzma.PRESET_EXTREME)
        (OUT / f"{name}.xz").write_bytes(packed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
