"""Prompt and generation speed as llama-bench measures it, and beside it what this machine allows."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from math import prod
from pathlib import Path
from statistics import fmean, stdev

from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.files import ModelFile
from ggtui.core.files.mixes import FILE_TYPES, MIXES
from ggtui.core.models import architecture
from ggtui.core.runtime.record import Limits, TokenRecord, Trace
from ggtui.perf.bounds import binding, limited, peak
from ggtui.perf.costs import Costs
from ggtui.perf.measure import made_up_prompt

_FILE_TYPES = {number: name for name, number in FILE_TYPES.items()} | {m.file_type: m.name for m in MIXES.values()}


@dataclass(frozen=True, slots=True)
class Task:
    """What is timed: reading `n_prompt` tokens at once, or `n_gen` one after the other, behind `n_depth` others."""

    n_prompt: int
    n_gen: int
    n_depth: int = 0

    @property
    def name(self) -> str:
        depth = f" @ d{self.n_depth}" if self.n_depth else ""
        return f"{f'pp{self.n_prompt}' if self.n_prompt else f'tg{self.n_gen}'}{depth}"

    @property
    def n_tokens(self) -> int:
        return self.n_prompt or self.n_gen


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One test of one model: the fields of llama-bench in its order, then our own, then the samples, as llama-bench has
    them last. Fields with a default are of what ggtui has no choice of: no GPU, weights copied and packed when they are
    loaded, attention that never holds its scores.

    build_commit, build_number  the commit of ggtui, and how many there were until then; its version and 0 where it is
                     no checkout
    n_ubatch         the same as n_batch: a batch is read at once
    model_type       architecture, parameters and tensor type; model_size: bytes of the tensors
    test_time        when it began
    avg_ns, avg_ts   mean of the samples: nanoseconds of a repetition, and tokens a second
    bytes_per_token, flops_per_token  what the nodes of the graph read and write, and their operations
    limit, of_limit  what binds, memory, cache or compute, and the part reached of what was measured just before, see
                     bounds.binding; "" and 0 where another device ran a node
    others, stolen   parts of the cores that other programs used meanwhile, and other virtual machines, 0 to 1
    use_mmap         what load_mode was in older versions of llama-bench, and what its script compares by
    """

    build_commit: str
    build_number: int
    cpu_info: str
    gpu_info: str = ""
    backends: str
    model_filename: str
    model_type: str
    model_size: int
    model_n_params: int
    n_batch: int
    n_ubatch: int
    n_threads: int
    cpu_mask: str = "0x0"
    cpu_strict: bool = False
    poll: int = 0
    type_k: str
    type_v: str
    n_gpu_layers: int = 0
    n_cpu_moe: int = 0
    split_mode: str = "none"
    main_gpu: int = 0
    no_kv_offload: bool = False
    flash_attn: int = 1
    devices: str = "none"
    tensor_split: str = "0.00"
    tensor_buft_overrides: str = "none"
    load_mode: str = "none"
    lazy_mode: str = "off"
    embeddings: bool = False
    no_op_offload: int = 0
    no_host: bool = False
    repack: bool = True
    fit_target: int = 0
    fit_min_ctx: int = 0
    n_prompt: int
    n_gen: int
    n_depth: int
    test_time: str
    avg_ns: int
    stddev_ns: int
    avg_ts: float
    stddev_ts: float
    use_mmap: bool = False
    isa: str
    bytes_per_token: float
    flops_per_token: float
    limit: str
    of_limit: float
    others: float
    stolen: float
    samples_ns: tuple[int, ...]
    samples_ts: tuple[float, ...]

    @property
    def task(self) -> Task:
        return Task(self.n_prompt, self.n_gen, self.n_depth)


def check(file: ModelFile, task: Task) -> None:
    """Raises UsageError for a task that the model's context has no room for."""
    n, n_ctx = task.n_depth + task.n_tokens, architecture(file).hparams(file).n_ctx
    if n > n_ctx:
        raise UsageError(f"{task.name}: {n} tokens don't fit into the context of {file.path}, {n_ctx}; ask for fewer")


def bench(
    session: Session,
    file: ModelFile,
    task: Task,
    limits: Limits | None,
    repeat: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run a task `repeat` times, after once to warm up. `file` is that of the session; its context must have room. What
    others use of the cores is watched since session.watch was begun."""
    ids = made_up_prompt(session, task.n_depth + task.n_tokens)
    depth, timed = ids[: task.n_depth], ids[task.n_depth :]
    started = datetime.now(UTC)
    session.reset()
    if depth:
        session.eval(depth)
    trace = _warm_up(session, task, timed)
    samples = []
    for i in range(repeat):
        session.rewind(task.n_depth)
        samples.append(_prompt(session, timed) if task.n_prompt else _generation(session, timed))
        if progress is not None:
            progress(i + 1, repeat)
    return _result(session, file, task, limits, trace, samples, started)


def _warm_up(session: Session, task: Task, ids: Sequence[int]) -> Trace:
    """A trace with the costs of a prompt's evaluations, or of the first and the last one of a generation."""
    first = ids if task.n_prompt else ids[:1]
    records: list[TokenRecord] = [
        run for step in session.generate(first, 1, temp=0.0, ignore_eos=True) for run in step.runs
    ]
    if task.n_gen:
        records.append(replace(records[0], n_past=task.n_depth + task.n_gen - 1))
    return session.trace(records)


def _prompt(session: Session, ids: Sequence[int]) -> int:
    started = time.perf_counter_ns()
    session.eval(ids)
    return time.perf_counter_ns() - started


def _generation(session: Session, ids: Sequence[int]) -> int:
    started = time.perf_counter_ns()
    for token in ids:
        session.eval([token])
    return time.perf_counter_ns() - started


def _result(
    session: Session,
    file: ModelFile,
    task: Task,
    limits: Limits | None,
    trace: Trace,
    samples: Sequence[int],
    started: datetime,
) -> Result:
    # The costs of a generation grow evenly from the first to the last token, so the mean of the two is that of all.
    scale = task.n_gen / len(trace.tokens) if task.n_gen else 1.0
    compute = total_flops = total_bytes = 0.0
    costs = [Costs(graph) for graph in trace.graphs]
    for token in trace.tokens:
        flops, traffic = costs[token.graph].at(token.sizes)
        nodes = trace.graphs[token.graph].nodes
        if limits is not None:
            compute += scale * sum(f / peak(limits, node) for f, node in zip(flops.tolist(), nodes, strict=True))
        total_flops, total_bytes = total_flops + float(flops.sum()), total_bytes + float(traffic.sum())
    own = limits is not None and all(limited(limits, node) for graph in trace.graphs for node in graph.nodes)
    known = limits if own else None
    limit, reached = binding(known, scale * total_bytes, total_bytes / len(trace.tokens), compute, fmean(samples))
    speeds = [task.n_tokens * 1e9 / ns for ns in samples]
    several = len(samples) > 1
    run, (kind, n_bytes, n_params) = session.run_info(), model_of(file)
    commit, number = _build() or (run.ggtui or "unknown", 0)
    return Result(
        build_commit=commit,
        build_number=number,
        cpu_info=run.processor,
        backends=run.device.upper(),
        model_filename=str(file.path),
        model_type=kind,
        model_size=n_bytes,
        model_n_params=n_params,
        n_batch=run.batch,
        n_ubatch=run.batch,
        n_threads=run.threads,
        type_k=run.kv_type,
        type_v=run.kv_type,
        n_prompt=task.n_prompt,
        n_gen=task.n_gen,
        n_depth=task.n_depth,
        test_time=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        avg_ns=round(fmean(samples)),
        stddev_ns=round(stdev(samples)) if several else 0,
        avg_ts=fmean(speeds),
        stddev_ts=stdev(speeds) if several else 0.0,
        isa=run.isa,
        bytes_per_token=scale * total_bytes / task.n_tokens,
        flops_per_token=scale * total_flops / task.n_tokens,
        limit=limit,
        of_limit=reached or 0.0,
        others=run.others,
        stolen=run.stolen,
        samples_ns=tuple(samples),
        samples_ts=tuple(speeds),
    )


@cache
def _build() -> tuple[str, int] | None:
    """The commit of ggtui and how many there were until then; None where it is no checkout, or git is not there."""
    repository = Path(__file__).parents[2] / ".git"
    if not repository.exists():
        return None
    git = ("git", f"--git-dir={repository}")
    try:
        commit, number = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short=8", "HEAD"), ("rev-list", "--count", "HEAD"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit, int(number)


def model_of(file: ModelFile) -> tuple[str, int, int]:
    """What llama-bench calls model_type, such as "gpt2 124M Q4_0", then bytes and parameters of the tensors."""
    sizes = Counter[str]()
    for info in file.tensors.values():
        sizes[info.type.name] += info.n_bytes if info.ne[1] > 1 else 0
    n_params = sum(prod(info.ne) for info in file.tensors.values())
    known = file.metadata.get("general.file_type")
    name = _FILE_TYPES.get(known) if isinstance(known, int) else None
    quantization = (name or max(sizes, key=sizes.__getitem__)).upper()
    kind = f"{file.metadata['general.architecture']} {_millions(n_params)} {quantization}"
    return kind, sum(info.n_bytes for info in file.tensors.values()), n_params


def _millions(n: int) -> str:
    return f"{n / 1e6:.0f}M" if n >= 99.5e6 else f"{n / 1e6:.1f}M"
