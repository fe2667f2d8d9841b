from __future__ import annotations

import re

import pytest

from ggtui.chat.conversation import Chat
from ggtui.viz.summary import context_full, lines, measured, per_second


def test_figures_add_up(chat: Chat) -> None:
    for _ in chat.say("Once upon a time"):
        pass
    stats = chat.session.stats
    f = measured(chat.session, 5_000_000)
    assert f["total_ms"] == pytest.approx(5)
    assert f["predict_ms"] == pytest.approx((stats.prompt_ns + stats.predict_ns) / 1e6)
    assert f["predict_ms_per_token"] == pytest.approx(f["predict_ms"] / (stats.n_prompt + stats.n_predicted))
    assert f["prompt_tokens_per_second"] == pytest.approx(stats.n_prompt / (stats.prompt_ns / 1e9))
    assert f["mem_per_token"] == chat.session.memory().activations > 0


def test_lines_are_those_of_ggml() -> None:
    keys = (
        "mem_per_token", "load_ms", "sample_ms", "predict_ms", "predict_ms_per_token", "total_ms", "prompt_tokens",
        "prompt_tokens_per_second", "generated_tokens", "generation_tokens_per_second",
    )  # fmt: skip
    text = lines({**dict.fromkeys(keys, 0), "mem_per_token": 17408, "predict_ms": 12.345, "predict_ms_per_token": 1.5})
    assert text[0] == "mem per token =    17408 bytes"
    assert text[3] == " predict time =    12.35 ms / 1.50 ms per token"
    assert text[5] == "       prompt =        0 tokens", "no speed where there was none"
    assert [line.index("=") for line in text] == [14] * 7
    assert all(re.match(r" *[a-z ]+ = ", line) for line in text)


def test_per_second() -> None:
    assert per_second(3, 2_000_000_000) == 1.5
    assert per_second(0, 0) == 0


def test_context_full(chat: Chat) -> None:
    assert context_full(chat.session) == "the context of 512 tokens is full; to go on use --ctx-shift"
    assert "/set ctx-shift on; /clear begins anew" in context_full(chat.session, in_chat=True)
