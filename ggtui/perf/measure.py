"""A profiling session: prompts and generations of one model, measured in turns with and without a profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import NodeTotal, TokenRecord, Trace

Progress = Callable[[int, int], None]
SEED = 1
_WARM = 8  # tokens that warm up a model which was loaded again
APART = 0.1  # seconds at least from one round to the next: a machine has moods, which last some moments


def made_up_prompt(session: Session, n_tokens: int) -> list[int]:
    """Tokens drawn at random, always the same ones. What they are changes nothing about the time they take."""
    rng = np.random.default_rng(SEED)
    return [int(i) for i in rng.integers(0, session.tokenizer.n_vocab, n_tokens)]


def measure(
    session: Session,
    prompt: Sequence[int],
    n_predict: int,
    repeat: int,
    progress: Progress | None = None,
    again: Callable[[], Session] | None = None,
) -> Trace:
    """A trace of `repeat` times reading `prompt` into an empty context and generating `n_predict` tokens.

    Each time is two rounds: the first records every other evaluation, the second the rest, so that what the profile
    costs shows between neighbours and not between good and bad moments of the machine. Before the first, and before
    each after which the model was loaded `again`, there is one to warm up: where its pages lie changes what a node
    takes by 1 to 2%, and that only several loads tell. Then all sessions are closed, each before another takes its
    place. Raises UsageError where prompt and generation don't fit into the context, and for another model than at
    first.
    """
    if len(prompt) + n_predict > session.n_ctx + 1:
        raise UsageError(
            f"{len(prompt)} tokens of prompt and {n_predict} generated ones don't fit into the context of "
            f"{session.n_ctx}; use a smaller -n, a shorter prompt or a larger --ctx"
        )
    _once(session, prompt, n_predict, None)
    session.clear_totals()
    times: dict[bool, list[float]] = {False: [], True: []}
    traces: list[Trace] = []
    measured, began_ns = session, session.engine.began_ns
    for turn in range(repeat):
        if again is not None and turn > 0:
            measured = again()
            measured.engine.began_ns, measured.watch = began_ns, session.watch
            _once(measured, prompt, min(n_predict, _WARM), None)
            _check_same(traces[0], measured)
            measured.engine.clear_totals()
        records: list[TokenRecord] = []
        for which in (0, 1):
            began = time.monotonic()
            for found, recorded, ns in _once(measured, prompt, n_predict, which):
                if recorded:
                    records += found
                if ns:
                    times[recorded].append(ns)
            if progress is not None:
                progress(2 * turn + which + 1, 2 * repeat)
            while turn + 1 < repeat and time.monotonic() < began + APART:
                _once(measured, prompt, n_predict, None)  # at rest it would begin again with a slow clock
        measured.recording = True
        traces.append(measured.trace(records))
        if again is not None:
            measured.close()
    token, plain = (_middle_mean(times[recorded]) for recorded in (True, False))
    joined = _joined(traces, loaded_again=again is not None)
    return replace(joined, run=replace(joined.run, token_ns=token, plain_token_ns=plain))


def _middle_mean(times: Sequence[float]) -> float:
    """Of what is neither among the shortest tenth nor the longest: a light profile records some runs of many, and a
    median would see none of these. 0 of nothing."""
    cut = len(times) // 10
    return fmean(sorted(times)[cut : len(times) - cut]) if times else 0.0


def _check_same(first: Trace, session: Session) -> None:
    """Raise UsageError where the model is not what it was."""
    ran, runs = ([(graph.isa, graph.nodes) for graph in graphs] for graphs in (first.graphs, session.graphs()))
    if ran != runs or session.run_info().types != first.run.types:
        raise UsageError(f"{session.path}: it is another model than when the measurement began; measure again")


def _joined(traces: Sequence[Trace], *, loaded_again: bool) -> Trace:
    """One trace of several of the same graphs, in the order in which they were measured."""
    last = traces[-1]
    tokens = tuple(token for trace in traces for token in trace.tokens)
    loads = len(traces) if loaded_again else 1
    if not loaded_again:  # its sums go on from one to the next
        return replace(last, tokens=tokens)
    sums: dict[tuple[int, ...], NodeTotal] = {}
    for t in (total for trace in traces for total in trace.totals):
        place = t.graph, t.node, t.part, t.lane
        sums[place] = _added(sums[place], t) if place in sums else t
    return replace(last, tokens=tokens, totals=tuple(sums.values()), run=replace(last.run, loads=loads))


def _added(a: NodeTotal, b: NodeTotal) -> NodeTotal:
    return NodeTotal(
        a.graph, a.node, a.part, a.lane, a.count + b.count, a.work + b.work, min(a.least, b.least),
        max(a.most, b.most), a.wait + b.wait, a.work_squared + b.work_squared,
    )  # fmt: skip


Evaluation = tuple[tuple[TokenRecord, ...], bool, float]


def _once(session: Session, prompt: Sequence[int], n_predict: int, wanted: int | None) -> list[Evaluation]:
    """Each evaluation: its records, whether the profile was on, and the nanoseconds until the token as one who waits
    for it sees them (0 for the first one). `wanted`: 0 to record the even ones, 1 the odd ones, None for none."""
    session.reset()
    found: list[Evaluation] = []
    session.recording = wanted == 0
    last = 0
    for i, step in enumerate(session.generate(prompt, n_predict, seed=SEED, ignore_eos=True), start=1):
        now = time.perf_counter_ns()
        found.append((step.runs, session.recording, float(now - last) if last else 0.0))
        session.recording = wanted == i % 2
        last = time.perf_counter_ns()
    return found
