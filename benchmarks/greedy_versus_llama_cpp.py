"""Do files that ggtui writes give the same greedy text in llama.cpp?

    python -m venv /somewhere && /somewhere/bin/pip install llama-cpp-python
    python benchmarks/greedy_versus_llama_cpp.py --python /somewhere/bin/python [MODEL] [--types f32,q8_0,Q4_K_M]

The model (default: the built-in one) is converted to each type. Both programs read the same file, go on with the same
prompts, always with the likeliest token, and their tokens are compared. Float weights must agree to the end. With
quantized ones each program rounds activations in its own way, so where two tokens are almost equally likely the texts
may part: then the line says after how many tokens, and how far apart ggtui saw the two candidates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import Session
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert

PROMPTS = (
    "Once upon a time",
    "The king said to his youngest son:",
    "In a deep forest",
    "“Who are you?” asked the wolf.",
)
TYPES = "f32,f16,bf16,q8_0,q4_0"
DRIFT = 0.05  # nats between two tokens that rounding may exchange

# Runs under the other Python. Its input is JSON: path, prompts as tokens, n; its output a list of tokens for each.
THEIRS = """
import json, sys
import llama_cpp, numpy as np
job = json.load(sys.stdin)
llama = llama_cpp.Llama(job["path"], n_ctx=512, n_threads=2, verbose=False)
out = []
for tokens in job["prompts"]:
    llama.reset()
    got, pending = [], tokens
    for _ in range(job["n"]):
        llama.eval(pending)
        logits = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
        pending = [int(np.argmax(np.ctypeslib.as_array(logits, (llama.n_vocab(),))))]
        got += pending
    out.append(got)
tokenized = [llama.tokenize(text.encode(), add_bos=False) for text in job["texts"]]
json.dump({"tokens": out, "tokenized": tokenized}, sys.stdout)
"""


def ours(session: Session, prompt: list[int], n: int) -> list[int]:
    session.reset()
    got, pending = [], prompt
    for _ in range(n):
        pending = [int(session.eval(pending).argmax())]
        got += pending
    return got


def gap(session: Session, prompt: list[int], common: list[int], a: int, b: int) -> float:
    """How much likelier ggtui finds token `a` than `b` after what both programs said."""
    session.reset()
    logits = session.eval([*prompt, *common])
    return float(logits[a] - logits[b])


def compare(path: Path, python: str, n: int) -> list[str]:
    """A line for each prompt on which the two differ more than rounding explains; prints what it finds."""
    session = Session(path)
    prompts = [session.tokenizer.encode(text) for text in PROMPTS]
    job = json.dumps({"path": str(path), "prompts": prompts, "texts": PROMPTS, "n": n})
    done = subprocess.run([python, "-c", THEIRS], input=job, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip().splitlines()[-1] if done.stderr else 'failed'}")
    answer = json.loads(done.stdout)
    wrong = [] if answer["tokenized"] == prompts else ["the prompts' tokens differ"]
    for text, prompt, theirs in zip(PROMPTS, prompts, answer["tokens"], strict=True):
        mine = ours(session, prompt, n)
        same = next((i for i in range(n) if mine[i] != theirs[i]), n)
        if same == n:
            print(f"  {text!r}: the same {n} tokens")
            continue
        nats = gap(session, prompt, mine[:same], mine[same], theirs[same])
        print(f"  {text!r}: the same {same} tokens, then two that are {nats:.4f} nats apart")
        if nats > DRIFT:
            wrong.append(f"{text!r}: part after {same} tokens, {nats:.4f} nats")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=BUILT_IN)
    parser.add_argument("--python", required=True, help="a Python that has llama-cpp-python")
    parser.add_argument("--types", default=TYPES, help=f"types and mixes (default {TYPES})")
    parser.add_argument("-n", type=int, default=100, help="tokens to generate (default 100)")
    args = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for type in args.types.split(","):
            path = Path(folder) / f"{type}.gguf"
            with open_model(args.model) as src:
                convert(src, path, type)
            print(f"{type}: {path.stat().st_size:,} bytes")
            wrong += [f"{type}: {line}" for line in compare(path, args.python, args.n)]
            path.unlink()
    print(*wrong, sep="\n") if wrong else print("all agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
