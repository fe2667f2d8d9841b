"""Makes the saved references of models that `ggtui pull` fetches: what `transformers` says of their weights in float32.

    python tests/references/make_pulled.py NAME MODEL.gguf --text tests/data/heldout.txt --perplexity X

writes `pulled/NAME.npz` beside this file; README.md lists its arrays. X is llama.cpp's perplexity of the first 40,000
bytes of the text, as `benchmarks/perplexity_versus_llama_cpp.py` prints it. It needs torch, transformers 5 and gguf.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
TOKENS, ROWS, COLUMNS = 256, 8, 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--perplexity", type=float, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    where = {"gguf_file": args.model.name}
    tokens = AutoTokenizer.from_pretrained(args.model.parent, **where)(args.text.read_text())["input_ids"][:TOKENS]
    model = AutoModelForCausalLM.from_pretrained(
        args.model.parent, dtype=torch.float32, attn_implementation="eager", **where
    )
    with torch.inference_mode():
        logits = model.eval()(torch.tensor([tokens])).logits[0].numpy()
    positions = np.linspace(0, TOKENS - 1, ROWS).astype(np.int32)
    columns = np.arange(0, logits.shape[1], logits.shape[1] // COLUMNS, dtype=np.int32)
    np.savez_compressed(
        HERE / "pulled" / f"{args.name}.npz",
        tokens=np.array(tokens, np.int32),
        positions=positions,
        columns=columns,
        logits=logits[np.ix_(positions, columns)],
        range=logits.max() - logits.min(),
        argmax=logits.argmax(1).astype(np.int32),
        perplexity=np.float64(args.perplexity),
    )


if __name__ == "__main__":
    main()
