"""Sessions on the built-in model: logits, generations, the context's end."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import Session
from ggtui.core.errors import ContextFullError, GgtuiError, ModelFileError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.record import WAKE

REFERENCES = Path(__file__).parents[2] / "references"
PROMPT = "Once upon a time there was a king"


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=2)


@pytest.fixture(autouse=True)
def forget(session: Session) -> None:
    session.reset()


def text_of(session: Session, prompt: str | list[int], n: int = 20, **options: object) -> str:
    return "".join(step.text for step in session.generate(prompt, n, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("type", "kv_type", "bound"), [("f32", "f32", 1e-4), ("f16", "f16", 1e-2)])
def test_the_built_in_weights_as_floats_agree_with_transformers(
    type: str, kv_type: str, bound: float, tmp_path: Path
) -> None:
    """The reference holds the same weights, which the gguf package dequantized."""
    reference = np.load(REFERENCES / "tales_q8_0.npz")
    with open_model(BUILT_IN) as file:
        convert(file, tmp_path / "model.gguf", type)
    session = ggtui.load(tmp_path / "model.gguf", kv_type=kv_type)
    tokens = reference["tokens"].tolist()
    logits = session.eval(tokens, all_logits=True)
    for row, want in zip(reference["positions"], ("first", "middle", "last"), strict=True):
        assert np.abs(logits[row] - reference[f"logits_{want}"]).max() < bound * reference["range"]
    if type == "f32":
        assert np.array_equal(logits.argmax(axis=1), reference["argmax"])
        session.reset()
        assert [step.token for step in session.generate(tokens[:16], 60, temp=0.0)] == reference["greedy"].tolist()


def test_q8_0_comes_near_the_logits_of_transformers(session: Session) -> None:
    reference = np.load(REFERENCES / "tales.npz")
    logits = session.eval(reference["tokens"].tolist(), all_logits=True)
    for row, want in zip(reference["positions"], ("first", "middle", "last"), strict=True):
        assert np.abs(logits[row] - reference[f"logits_{want}"]).max() < 0.02 * reference["range"]
    assert (logits.argmax(axis=1) == reference["argmax"]).mean() > 0.9


def test_perplexity_of_q8_0_is_that_of_f32() -> None:
    reference = np.load(REFERENCES / "perplexity.npz")
    session = ggtui.load()
    nll = []
    for tokens in reference["tokens"]:
        session.reset()
        logits = session.eval(tokens.tolist(), all_logits=True)[256:-1].astype(np.float64)
        best = logits.max(axis=1)
        total = best + np.log(np.exp(logits - best[:, None]).sum(axis=1))
        nll.append((total - logits[np.arange(len(logits)), tokens[257:]]).sum())
    assert np.exp(np.sum(nll) / reference["count"]) == pytest.approx(float(reference["ppl"]), rel=0.005)


def test_eval_gives_the_last_row_of_all_logits(session: Session) -> None:
    ids = session.tokenizer.encode(PROMPT)
    rows = session.eval(ids, all_logits=True)
    assert rows.shape == (len(ids), 4096)
    assert rows.dtype == np.float32
    session.reset()
    last = session.eval(ids)
    assert last.shape == (4096,)
    assert np.array_equal(last, rows[-1])
    assert session.n_past == len(ids)


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    want = None
    for options in (
        {"threads": 1},
        {"threads": 2},
        {"threads": 3},
        {"threads": 7},
        {"threads": 2, "batch": 3},
    ):
        session = ggtui.load(**options)
        logits = session.eval(session.tokenizer.encode(PROMPT), all_logits=True)
        want = logits if want is None else want
        assert np.array_equal(logits, want), options


def test_instruction_sets_agree_and_texts_part_only_where_logits_are_close() -> None:
    sessions = {isa: ggtui.load(isa=isa) for isa in usable_isas()}
    ids = next(iter(sessions.values())).tokenizer.encode(PROMPT)
    want = sessions["scalar"].eval(ids).astype(np.float64)
    for isa, session in sessions.items():
        session.reset()
        got = session.eval(ids)
        assert ((got - want) ** 2).sum() / (want**2).sum() < 1e-5, isa
        difference = float(np.abs(got - want).max())
        session.reset()
        greedy = [step.token for step in session.generate(ids, 12, temp=0.0)]
        sessions["scalar"].reset()
        for n, step in enumerate(sessions["scalar"].generate(ids, 12, temp=0.0)):
            if step.token != greedy[n]:
                sessions["scalar"].reset()
                top = np.sort(sessions["scalar"].eval([*ids, *greedy[:n]]))[-2:]
                assert top[1] - top[0] <= 2 * difference
                break


def test_greedy_text_is_that_of_one_token_at_a_time(session: Session) -> None:
    tokens = [step.token for step in session.generate(PROMPT, 15, temp=0.0)]
    session.reset()
    ids = session.tokenizer.encode(PROMPT)
    for token in tokens:
        assert int(session.eval(ids).argmax()) == token
        ids = [token]


def test_a_seed_gives_one_text(session: Session) -> None:
    texts = []
    for seed in (1, 1, 2):
        session.reset()
        texts.append(text_of(session, PROMPT, seed=seed))
    assert texts[0] == texts[1] != texts[2]


def test_steps_carry_log_probabilities_and_records(session: Session) -> None:
    steps = list(session.generate(PROMPT, 5, temp=0.0))
    n_prompt = len(session.tokenizer.encode(PROMPT))
    assert [(s.record.n_past, s.record.n_tokens) for s in steps] == [
        (0, n_prompt),
        *((n_prompt + i, 1) for i in range(4)),
    ]
    assert all(s.logprob < 0 and s.record.eval_ns > 0 and s.record.sample_ns > 0 for s in steps)
    assert session.stop_reason == "n_predict"


def test_a_generation_goes_on_where_the_last_one_ended(session: Session) -> None:
    whole = text_of(session, PROMPT, 20, temp=0.0)
    session.reset()
    first = text_of(session, PROMPT, 12, temp=0.0)
    assert first + text_of(session, "", 8, temp=0.0) == whole


def test_rewind_goes_back(session: Session) -> None:
    n = len(session.tokenizer.encode(PROMPT))
    first = text_of(session, PROMPT, 10, temp=0.0)
    session.rewind(n)
    assert text_of(session, "", 10, temp=0.0) == first
    with pytest.raises(UsageError, match="rewind"):
        session.rewind(1000)


def test_nothing_at_all_starts_a_text(session: Session) -> None:
    assert len(list(session.generate("", 5, seed=3))) > 0


def test_stop_texts_end_it_and_are_not_shown(session: Session) -> None:
    whole = text_of(session, PROMPT, 30, temp=0.0)
    stop = whole[len(whole) // 2 :][:4]
    session.reset()
    assert text_of(session, PROMPT, 30, temp=0.0, stop=[stop]) == whole[: whole.index(stop)]
    assert session.stop_reason == "stop text"


def test_a_full_context_ends_it_with_a_reason() -> None:
    session = ggtui.load(ctx=32)
    ids = session.tokenizer.encode(PROMPT)
    steps = list(session.generate(ids, 100, temp=0.0, ignore_eos=True))
    assert session.stop_reason == "context full"
    assert len(ids) + len(steps) == 32 + 1  # the last token is chosen and not read
    assert session.n_past == 32


def test_a_full_context_shifts_when_asked() -> None:
    session = ggtui.load(ctx=32)
    steps = list(session.generate(PROMPT, 100, temp=0.0, ctx_shift=True, ignore_eos=True))
    assert len(steps) == 100
    assert session.stop_reason == "n_predict"
    assert session.n_past <= 32


def test_a_prompt_that_does_not_fit_is_refused_and_nothing_is_read() -> None:
    session = ggtui.load(ctx=8)
    with pytest.raises(ContextFullError, match="context of 8"):
        list(session.generate(PROMPT * 3, 5))
    assert session.n_past == 0
    session.eval([1, 2, 3])


@pytest.mark.parametrize("ids", [[], [-1], [4096]])
def test_tokens_that_do_not_exist_are_refused(session: Session, ids: list[int]) -> None:
    with pytest.raises(UsageError, match="token"):
        session.eval(ids)


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"ctx": 0}, {"batch": 0}, {"kv_type": "q9"}, {"isa": "mmx"}, {"device": "cuda"}],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(options.values())))):
        ggtui.load(**options)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# no model")
    for path in (tmp_path / "README.md", tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(ModelFileError):
            ggtui.load(path)


def test_records_of_nodes_fill_the_time_of_each_thread() -> None:
    session = ggtui.load(threads=2, record=True)
    steps = list(session.generate(PROMPT, 3, temp=0.0))
    graphs = session.graphs()
    for step in steps:
        record = step.record
        assert record.dropped == 0
        nodes = graphs[record.graph].nodes
        for thread in range(2):
            mine = [r for r in record.records if r.lane == thread]
            assert mine[0].node == WAKE
            assert {r.node for r in mine[1:]} == set(range(len(nodes)))
            assert all(a.done == b.start for a, b in itertools.pairwise(mine))
            assert all(r.start <= r.end <= r.done for r in mine)
            assert mine[-1].done <= record.eval_ns


def test_another_thread_can_stop_an_evaluation() -> None:
    session = ggtui.load(threads=2)
    ids = list(range(300)) + list(range(200))
    stopped = threading.Event()

    def stopper() -> None:
        while not stopped.is_set():
            session.stop()
            time.sleep(0.0005)

    thread = threading.Thread(target=stopper)
    thread.start()
    try:
        with pytest.raises(GgtuiError, match="stopped"):
            for _ in range(200):
                session.reset()
                session.eval(ids)
    finally:
        stopped.set()
        thread.join()
    session.reset()
    assert np.isfinite(session.eval(ids)).all()


def test_memory_has_owners(session: Session) -> None:
    session.eval([1])
    memory = session.memory()
    assert memory.weights > 6e6
    assert memory.kv == 2 * 6 * 256 * 512 * 2
    assert 0 < memory.activations < 1e6


def test_a_long_prompt_in_batches_makes_room_once(monkeypatch: pytest.MonkeyPatch) -> None:
    session = ggtui.load(threads=1, batch=16)
    asked: list[int] = []
    monkeypatch.setattr(session.kv, "expect", asked.append)
    session.eval(list(range(40)))
    session.eval([1])
    assert asked == [40], "and not where keys lie in it"
