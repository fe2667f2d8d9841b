"""What a generation took, as ggml's GPT-2 example prints it, and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Stats

_MS = 1e-6  # of a nanosecond


def per_second(n: int, ns: int) -> float:
    """Tokens a second; 0 where there was nothing to count."""
    return n / ns * 1e9 if ns > 0 else 0.0


def paced(speed: float) -> str:
    """What to tell beside the engine's own speed where a setting slows what is shown."""
    return f", paced to {speed:g}" if speed else ""


def measured(session: Session, total_ns: int) -> dict[str, Any]:
    """The figures of a session: times in milliseconds, speeds in tokens a second, memory in bytes.

    `predict` is all evaluations, of prompt and generation, as in ggml's example; total_ns is the time of all.
    """
    s: Stats = session.stats
    predict_ns, n_read = s.prompt_ns + s.predict_ns, s.n_prompt + s.n_predicted
    return {
        "mem_per_token": session.memory().activations,
        "load_ms": s.load_ns * _MS,
        "sample_ms": s.sample_ns * _MS,
        "predict_ms": predict_ns * _MS,
        "predict_ms_per_token": predict_ns * _MS / n_read if n_read else 0.0,
        "total_ms": total_ns * _MS,
        "prompt_tokens": s.n_prompt,
        "prompt_tokens_per_second": per_second(s.n_prompt, s.prompt_ns),
        "generated_tokens": s.n_sampled,
        "generation_tokens_per_second": per_second(s.n_predicted, s.predict_ns),
    }


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures of `measured` for a person to read."""
    f = figures
    return [
        f"mem per token = {f['mem_per_token']:8} bytes",
        f"    load time = {f['load_ms']:8.2f} ms",
        f"  sample time = {f['sample_ms']:8.2f} ms",
        f" predict time = {f['predict_ms']:8.2f} ms / {f['predict_ms_per_token']:.2f} ms per token",
        f"   total time = {f['total_ms']:8.2f} ms",
        f"       prompt = {f['prompt_tokens']:8} tokens{_speed(f['prompt_tokens_per_second'])}",
        f"   generation = {f['generated_tokens']:8} tokens{_speed(f['generation_tokens_per_second'])}",
    ]


def _speed(speed: float) -> str:
    """Nothing where there was none to measure, as of a single token: the prompt's evaluation led to it."""
    return f", {speed:.1f} tok/s" if speed else ""


def context_full(session: Session, *, in_chat: bool = False) -> str:
    """What to say when the context is full: what to do depends on whether it can be larger."""
    largest = session.hparams.n_ctx
    ctx = "/set ctx" if in_chat else "--ctx"
    larger = f", or a larger {ctx}: this model's largest is {largest}" if session.n_ctx < largest else ""
    shift = "/set ctx-shift on" if in_chat else "--ctx-shift"
    clear = "; /clear begins anew" if in_chat else ""
    return f"the context of {session.n_ctx} tokens is full; to go on use {shift}{larger}{clear}"
