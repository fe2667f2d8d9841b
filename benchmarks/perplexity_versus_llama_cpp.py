"""Do model files have the perplexity in ggtui that they have in llama.cpp?

    python benchmarks/perplexity_versus_llama_cpp.py --python /somewhere/bin/python TEXT MODEL [MODEL ...]

The other Python has llama-cpp-python. Both programs read the same tokens, which each has split by itself, in chunks of
512, and count the second half of each, as llama.cpp's tool does. Quantized weights leave room for rounding: the line
says by how much the two differ, and exit code 1 that it is over 0.5%, or that the tokens are others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from math import exp
from pathlib import Path

from ggtui.core.engine.perplexity import perplexity
from ggtui.core.engine.session import Session

CTX, MOST = 512, 0.005

# Runs under the other Python. Its input is JSON: path, text, ctx; its output the tokens and the mean -ln p.
THEIRS = """
import json, sys
import llama_cpp, numpy as np
job = json.load(sys.stdin)
llama = llama_cpp.Llama(job["path"], n_ctx=job["ctx"], n_threads=2, logits_all=True, verbose=False)
vocab = llama_cpp.llama_model_get_vocab(llama.model)
begins, bos = llama_cpp.llama_vocab_get_add_bos(vocab), llama.token_bos()
tokens = llama.tokenize(job["text"].encode(), add_bos=bool(begins), special=False)
ctx, losses = job["ctx"], []
for start in range(0, len(tokens) - ctx + 1, ctx):
    chunk = tokens[start : start + ctx]
    if begins:
        chunk[0] = bos
    llama.reset()
    llama.eval(chunk)
    for i in range(ctx // 2, ctx - 1):
        logits = np.asarray(llama.scores[i], np.float64)
        logits -= logits.max()
        losses.append(float(np.log(np.exp(logits).sum()) - logits[chunk[i + 1]]))
json.dump({"tokens": tokens, "loss": float(np.mean(losses))}, sys.stdout)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="a Python that has llama-cpp-python")
    parser.add_argument("--bytes", type=int, default=40_000, help="of the text (default 40,000)")
    parser.add_argument("text", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    args = parser.parse_args()
    text, wrong = args.text.read_text()[: args.bytes], 0
    for path in args.models:
        job = json.dumps({"path": str(path), "text": text, "ctx": CTX})
        done = subprocess.run([args.python, "-c", THEIRS], input=job, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{path}: {done.stderr.strip().splitlines()[-1]}")
        theirs = json.loads(done.stdout)
        with Session(path, ctx=CTX) as session:
            tokens = session.tokenizer.begin(text)
            found = perplexity(session, tokens, ctx=CTX)
        expected = exp(theirs["loss"])
        off = found.value / expected - 1
        same = tokens == theirs["tokens"]
        wrong += abs(off) > MOST or not same
        told = "the same tokens" if same else "OTHER TOKENS"
        print(f"{path.name}: {found.value:.4f} here, {expected:.4f} in llama.cpp, {off:+.2%}; {told}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
