"""A profiling session: prompts and generations of one model, measured in turns with and without a profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import TokenRecord, Trace

Progress = Callable[[int, int], None]
SEED = 1
APART = 0.1  # seconds at least from one round to the next: a machine has moods, which last some moments


def made_up_prompt(session: Session, n_tokens: int) -> list[int]:
    """Tokens drawn at random, always the same ones. What they are changes nothing about the time they take."""
    rng = np.random.default_rng(SEED)
    return [int(i) for i in rng.integers(0, session.tokenizer.n_vocab, n_tokens)]


def measure(
    session: Session, prompt: Sequence[int], n_predict: int, repeat: int, progress: Progress | None = None
) -> Trace:
    """A trace of `repeat` times reading `prompt` into an empty context and generating `n_predict` tokens.

    Before that it does so once to warm up. Each time is two rounds: the first records every other evaluation, the
    second the rest, so that what the profile costs shows between neighbours and not between good and bad moments of the
    machine. Raises UsageError where prompt and generation don't fit into the context.
    """
    if len(prompt) + n_predict > session.n_ctx + 1:
        raise UsageError(
            f"{len(prompt)} tokens of prompt and {n_predict} generated ones don't fit into the context of "
            f"{session.n_ctx}; use a smaller -n, a shorter prompt or a larger --ctx"
        )
    _once(session, prompt, n_predict, None)
    session.clear_totals()
    records: list[TokenRecord] = []
    times: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * repeat):
        began = time.monotonic()
        for found, recorded, ns in _once(session, prompt, n_predict, turn % 2):
            if recorded:
                records += found
            if ns:
                times[recorded].append(ns)
        if progress is not None:
            progress(turn + 1, 2 * repeat)
        while turn + 1 < 2 * repeat and time.monotonic() < began + APART:
            _once(session, prompt, n_predict, None)  # at rest, it would begin again with cold caches and a slow clock
    session.recording = True
    trace = session.trace(records)
    token, plain = (median(times[recorded]) if times[recorded] else 0.0 for recorded in (True, False))
    return replace(trace, run=replace(trace.run, token_ns=token, plain_token_ns=plain))


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
