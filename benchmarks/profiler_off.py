"""What the profiler costs where it is off, in instructions: what each thread runs for a node with it and without it.

    python benchmarks/profiler_off.py [-n 10]

Needs valgrind. Builds the C code a second time in a temporary folder, with `walk`, the loop over the nodes in plan.c,
made so that it never traces, and counts the instructions of that loop alone (not of the nodes' work) in both while the
built-in model reads tokens one by one. Instruction counts are the same every time, where times are not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRACED, UNTRACED = "trace != NULL ? walk_and_record : walk", "walk"
RUN = (
    "import ggtui; s = ggtui.load(threads=1, isa='avx2'); [s.eval([i]) for i in range({n})]; print(s._one.plan.n_steps)"
)


def build(folder: Path) -> None:
    """A copy of the project in `folder` that cannot trace, compiled."""
    for name in ("ggtui", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    plan = folder / "ggtui/csrc/cpu/plan.c"
    text = plan.read_text()
    if text.count(TRACED) != 1:
        sys.exit(f"{plan}: {TRACED!r} is not there once; this script no longer fits the code")
    plan.write_text(text.replace(TRACED, UNTRACED))
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip


def instructions(project: Path, n: int, out: Path) -> tuple[int, int]:
    """Of `walk` alone while `n` tokens are read one at a time; and the nodes of a token."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, "-c", RUN.format(n=n)]
    done = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
    told = subprocess.run(
        ["callgrind_annotate", "--threshold=100", str(out)], check=True, capture_output=True, text=True
    )
    # A line for each file that code of the function came from: its own, and headers with what was inlined.
    found = re.findall(r"^\s*([\d,]+) .*?/csrc/[\w./]+:walk(?: \[.*)?$", told.stdout, re.MULTILINE)
    if not found:
        sys.exit("walk is not in what callgrind tells; was the code compiled without -g1?")
    return sum(int(count.replace(",", "")) for count in found), int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10, help="tokens")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        with_it, n_steps = instructions(ROOT, args.n, folder / "with")
        without, _ = instructions(folder, args.n, folder / "without")
    nodes = args.n * n_steps
    print(f"{args.n} tokens of {n_steps} steps, one thread: the loop over the nodes alone takes")
    print(f"  {with_it / nodes:.2f} instructions a step with a profiler that is off")
    print(f"  {without / nodes:.2f} instructions a step without a profiler in the code")
    print(f"  {(with_it - without) / nodes:.2f} is what being able to profile costs")


if __name__ == "__main__":
    main()
