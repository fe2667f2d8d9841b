"""What each tensor type and mix costs: size, perplexity, divergence from F32, speed. Writes a Markdown table.

    python benchmarks/quant_table.py [MODEL] [--text FILE] [--types f16,q4_0,Q4_K_M] [--into docs/quantization.md]

MODEL (default: the built-in one) should be in F32: it is converted to each type, and each result is compared with it
over the text. Perplexity and divergence are `ggtui perplexity`'s; tok/s are of generation, the median of some runs, on
all cores this process may use. --into replaces what stands between the two marks of that file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.perplexity import Perplexity, perplexity
from ggtui.core.engine.session import Session
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.files.mixes import MIXES
from ggtui.core.graph.types import TYPES

HELDOUT = Path(__file__).parent.parent / "tests/data/heldout.txt"
BEGIN, END = "<!-- table of benchmarks/quant_table.py -->", "<!-- end of table -->"
RUNS, N_PREDICT = 20, 100
HEAD = (
    "| type | file | bits a weight | perplexity | KL divergence from F32 (10⁻³ nats) | same likeliest | tok/s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)


class Row(NamedTuple):
    """A type's line: bytes of the file, bits a weight of all tensors, tokens a second."""

    name: str
    n_bytes: int
    bits: float
    found: Perplexity
    speed: float

    def markdown(self) -> str:
        f, a = self.found, self.found.against
        assert a is not None
        divergence = f"{1e3 * a.kl:.3f} ± {1e3 * a.kl_error:.3f} | {a.same_top:.1%}"
        size = f"{self.n_bytes / 1e6:.2f} MB | {self.bits:.2f}"
        return f"| {self.name} | {size} | {f.value:.3f} ± {f.error:.3f} | {divergence} | {self.speed:.0f} |"


def names() -> list[str]:
    """What `--type` may be: every type a matrix can have, and every mix; a name that is both means the mix."""
    types = [t.name for t in TYPES.values() if t.file and not t.own and t.name != "i32"]
    return list(dict.fromkeys([*types, *MIXES]))


def speed(session: Session) -> float:
    """Tokens a second of generation."""
    session.reset()
    token = int(session.eval(session.tokenizer.encode("Once upon a time")).argmax())
    started = time.perf_counter()
    for _ in range(N_PREDICT):
        token = int(session.eval([token]).argmax())
    return N_PREDICT / (time.perf_counter() - started)


def measure(model: Path, name: str, tokens: list[int], base: Session, path: Path) -> tuple[Row, Session]:
    """All but the speed, and what to measure that with."""
    with open_model(model) as src:
        done = convert(src, path, name)
    session = Session(path)
    found = perplexity(session, tokens, ctx=min(512, session.n_ctx), base=base)
    bits = 8 * done.n_bytes / sum(prod(t.ne) for t in done.tensors)
    return Row(name, path.stat().st_size, bits, found, 0.0), session


def out_of_order(rows: list[Row]) -> list[str]:
    """Where more bits gave a larger divergence, by more than its error."""
    ordered = sorted(rows, key=lambda row: row.bits)
    wrong = []
    for less, more in pairwise(ordered):
        a, b = less.found.against, more.found.against
        assert a is not None and b is not None
        if b.kl - a.kl > a.kl_error + b.kl_error:
            wrong.append(f"{more.name} has more bits than {less.name} and diverges more")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=BUILT_IN)
    parser.add_argument("--text", type=Path, default=HELDOUT)
    parser.add_argument("--types", help="types and mixes, with commas between them (default: all)")
    parser.add_argument("--into", type=Path, help="a file that has the marks of the table")
    args = parser.parse_args()
    base = Session(args.model)
    tokens = base.tokenizer.encode(args.text.read_text(encoding="utf-8"))
    rows: list[Row] = []
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.types.split(",") if args.types else names():
            path = Path(folder) / "model.gguf"
            row, session = measure(args.model, name, tokens, base, path)
            rows.append(row)
            sessions.append(session)
            path.unlink()
            print(f"{name}: perplexity {row.found.value:.3f}", file=sys.stderr, flush=True)
    measured: list[list[float]] = [[] for _ in rows]
    for _ in range(RUNS):  # in turns, so that other work of the machine strikes all alike
        for speeds, session in zip(measured, sessions, strict=True):
            speeds.append(speed(session))
    rows = [row._replace(speed=median(speeds)) for row, speeds in zip(rows, measured, strict=True)]
    rows.sort(key=lambda row: -row.bits)
    table = [*HEAD, *(row.markdown() for row in rows)]
    print(*table, sep="\n")
    print(*out_of_order(rows), sep="\n", file=sys.stderr)
    if args.into:
        text = args.into.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        args.into.write_text("\n".join([before + BEGIN, *table, END + after]), encoding="utf-8")


if __name__ == "__main__":
    main()
