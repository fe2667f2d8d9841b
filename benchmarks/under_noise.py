"""What the profiler says beside other programs: quiet, beside one and three that never rest, and with a core taken away
half of the time. Held against the quiet run, and against the scheduler's own account of how long threads had no core.

  python benchmarks/under_noise.py [MODEL] [--threads 2] [--save FOLDER]

Quiet means at a real-time priority where that is allowed (root), else as quiet as the machine is. FOLDER takes the
traces.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ggtui
from ggtui.core.engine.trace_file import dumps
from ggtui.core.runtime.record import Trace
from ggtui.perf.measure import made_up_prompt
from ggtui.perf.stage import stages

REST = "while True: pass"
TAKE = """
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(30))
while True:
    end = time.monotonic() + 0.01
    while time.monotonic() < end: pass
    time.sleep(0.01)
"""
TOP = 5


def queued() -> dict[int, int]:
    """Of each thread of this process the nanoseconds that it was ready and had no core."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found[int(task.name)] = int((task / "schedstat").read_text().split()[1])
    return found


@contextmanager
def beside(condition: str) -> Iterator[None]:
    """Other programs at work."""
    n = {"one": 1, "three": 3}.get(condition, 0)
    children = [subprocess.Popen([sys.executable, "-c", REST]) for _ in range(n)]
    if condition == "stolen":
        last = max(os.sched_getaffinity(0))
        children = [subprocess.Popen(["taskset", "-c", str(last), sys.executable, "-c", TAKE])]
    time.sleep(0.3)
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def child(args: argparse.Namespace) -> None:
    """Measures in this process, and prints the trace and for how long its last worker thread had no core."""
    if args.condition == "quiet":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
    session = ggtui.load(args.model, threads=args.threads, record="full", rest=False)
    prompt = made_up_prompt(session, args.n_prompt)
    runs = [step.runs for step in session.generate(prompt, args.n_predict, ignore_eos=True)][:0]  # to warm up
    session.clear_totals()
    before = queued()
    for _ in range(args.repeat):
        session.reset()
        runs += [step.runs for step in session.generate(prompt, args.n_predict, ignore_eos=True)]
    after = queued()
    lost = {task: ns - before.get(task, 0) for task, ns in after.items()}
    trace = session.trace(run for step in runs for run in step)
    print(json.dumps({"trace": json.loads(dumps(trace)), "queued": lost[worker(args.threads - 1)]}))


def worker(ith: int) -> int:
    """The number of the system for a thread of the pool, which has a name of its own."""
    tasks = Path("/proc/self/task").iterdir()
    return next(int(task.name) for task in tasks if (task / "comm").read_text().strip() == f"ggtui/{ith}")


def run(args: argparse.Namespace, condition: str) -> tuple[Trace, int]:
    command = [sys.executable, __file__, "--child", "--condition", condition, "--threads", str(args.threads)]
    command += ["--n-prompt", str(args.n_prompt), "--n-predict", str(args.n_predict), "--repeat", str(args.repeat)]
    command += [args.model] if args.model else []
    with beside(condition):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    trace = loads(found["trace"])
    if args.save:
        folder, text = Path(args.save), json.dumps(found["trace"], separators=(",", ":"))
        (folder / f"{condition}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        told = folder / "queued.json"
        known = json.loads(told.read_text()) if told.exists() else {}
        told.write_text(json.dumps({**known, condition: found["queued"]}))
    return trace, found["queued"]


def loads(data: object) -> Trace:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        return ggtui.perf.load(file.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--n-prompt", type=int, default=128)
    parser.add_argument("--n-predict", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--save")
    parser.add_argument("--condition", default="quiet")
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    quiet: dict[str, dict[str, float]] = {}
    for condition in ("quiet", "one", "three", "stolen"):
        trace, waited = run(args, condition)
        print(condition)
        for stage in stages(trace):
            told = ggtui.perf.summary(trace)[stage.name]
            shares = {n["node"]: n["work_share"] for n in told["nodes"]}
            base = quiet.setdefault(stage.name, shares)
            top = sorted(base, key=lambda key: -base[key])[:TOP]
            off = ", ".join(f"{shares[key] / base[key] - 1:+.1%}" for key in top)
            parts = ", ".join(f"{k} {told[k]:.1%}" for k in ("work", "waiting", "not_scheduled", "held_up"))
            alone = told["evaluation_ns"] / 1e3
            print(f"  {stage.name}: {told['tok_s']:.0f} tok/s, undisturbed {alone:.1f} us; top {TOP} {off}; {parts}")
        said = sum(float(stage.times.lost[:, -1].sum()) for stage in stages(trace))
        off = f" ({said / waited - 1:+.1%})" if waited > 1e6 else ""
        print(f"  the last thread had no core for {said / 1e6:.1f} ms, the scheduler says {waited / 1e6:.1f} ms{off}")


if __name__ == "__main__":
    main()
