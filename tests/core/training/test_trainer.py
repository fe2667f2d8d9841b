"""Losses, gradients and steps against PyTorch in float64, and what a trainer promises of itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui import load
from ggtui.core.engine.trace_file import load as load_trace
from ggtui.core.engine.trace_file import save
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.files.made import MadeModel
from ggtui.core.models.adapters import LORA_A, LORA_B
from ggtui.core.training.optimizers import AdamW, Schedule, Sgd
from ggtui.core.training.shapes import Shape
from ggtui.core.training.trainer import Trainer
from ggtui.core.vocab.bpe import BYTE_ALPHABET
from ggtui.perf.stage import stages
from ggtui.perf.words import in_words

SAVED = np.load(Path(__file__).parents[2] / "references" / "gradients.npz")
SHAPES = {
    "gpt2": Shape.parse("gpt2:embd=24,layer=2,head=3,ff=80,ctx=32"),
    "llama": Shape.parse("llama:embd=32,layer=2,head=4,kv=2,ff=48,ctx=32"),
}
VOCAB = 61
NAN = float("nan")
ARCHITECTURES = Path(__file__).parents[2] / "references" / "architectures"
IDS = SAVED["ids"].astype(np.int32)


def saved(name: str, what: str) -> dict[str, Any]:
    start = f"{name}/{what}/"
    return {key.removeprefix(start): SAVED[key].astype(np.float32) for key in SAVED if key.startswith(start)}


def model(name: str) -> MadeModel:
    return MadeModel(name, SHAPES[name].metadata(VOCAB), saved(name, "weights"))


def trainer(name: str = "gpt2", **options: Any) -> Trainer:
    return Trainer(model(name), **{"threads": 1, **options})


def with_vocabulary(name: str, where: Path) -> Path:
    """A copy of a reference's model, with a vocabulary beside it: each byte a token."""
    folder = where / name
    shutil.copytree(ARCHITECTURES / name, folder)
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(BYTE_ALPHABET)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_those_of_pytorch(name: str, recompute: bool) -> None:
    loss, gradients = trainer(name, recompute=recompute).loss_and_gradients(IDS[0])
    assert loss == pytest.approx(float(SAVED[f"{name}/loss"]), rel=1e-6)
    wanted = saved(name, "gradients")
    assert gradients.keys() == wanted.keys()
    for tensor, g in gradients.items():
        assert g.shape == wanted[tensor].shape
        assert np.abs(g - wanted[tensor]).max() <= 1e-4 * np.abs(wanted[tensor]).max(), tensor


@pytest.mark.parametrize(
    ("name", "optimizer", "schedule"),
    [("adamw", AdamW(), Schedule(1e-2, 20, warm_up=5, last=0.1)), ("sgd", Sgd(), Schedule(0.2, 5, last=1.0))],
)
def test_steps_are_those_of_pytorch(name: str, optimizer: Any, schedule: Schedule) -> None:
    mine = trainer(optimizer=optimizer, threads=2)
    for i, wanted in enumerate(SAVED[f"{name}/losses"]):
        step = mine.step(IDS[i], schedule.at(i + 1))
        assert step.loss == pytest.approx(wanted, rel=2e-4)
        assert step.norm == pytest.approx(SAVED[f"{name}/norms"][i], rel=1e-2)
        if name == "adamw":
            assert schedule.at(i + 1) == pytest.approx(SAVED["adamw/rates"][i], rel=1e-9)


@pytest.mark.pool
def test_bits_do_not_hang_on_threads_records_or_what_is_computed_again() -> None:
    options: tuple[dict[str, Any], ...] = ({"threads": 1}, {"threads": 2}, {"threads": 3, "record": "full"},
                                           {"threads": 2, "recompute": True}, {"record": "light"})  # fmt: skip
    found = []
    for each in options:
        mine = trainer("llama", **each)
        for ids in IDS[:3]:
            mine.step(ids)
        found.append({name: state.copy() for name, state in mine.states().items()})
    assert all(equal(found[0], other) for other in found[1:])


def test_the_reference_takes_the_same_step() -> None:
    cpu, reference = trainer("llama"), trainer("llama", device_name="reference")
    for mine in (cpu, reference):
        mine.step(IDS[0])
    for name, w in reference.weights().items():
        assert np.abs(cpu.weights()[name] - w).max() <= 2e-4 * np.abs(w).max(), name


def test_a_loss_that_is_no_number_is_told() -> None:
    mine = trainer()
    mine.trained.array("blk.0.ffn_up.weight")[3, 2] = np.nan
    with pytest.raises(GgtuiError, match="step 1: the loss is nan"):
        mine.step(IDS[0])


def test_states_restored_go_on_to_the_same_bits() -> None:
    whole, half = trainer(), trainer()
    for ids in IDS[:4]:
        whole.step(ids)
    for ids in IDS[:2]:
        half.step(ids)
    again = trainer()
    again.restore({name: state.copy() for name, state in half.states().items()}, half.n_steps)
    for ids in IDS[2:4]:
        again.step(ids)
    assert equal(whole.states(), again.states()) and again.n_steps == 4
    with pytest.raises(UsageError, match="is not of this model and optimizer"):
        trainer("llama").restore(half.states(), 2)
    with pytest.raises(UsageError, match="n_steps -5"):
        again.restore(half.states(), -5)
    damaged = {name: state.copy() for name, state in half.states().items()}
    damaged["blk.1.ffn_up.weight"][2, 3] = np.nan
    with pytest.raises(UsageError, match=r"blk\.1\.ffn_up\.weight: what was saved of it holds what is no number"):
        again.restore(damaged, 2)
    assert equal(whole.states(), again.states()) and again.n_steps == 4


def test_calls_of_several_threads_wait_for_each_other() -> None:
    mine = trainer("llama")
    wanted = [mine.loss(ids) for ids in IDS[:2]]
    wrong: list[int] = []

    def ask(i: int) -> None:
        wrong.extend(i for _ in range(200) if mine.loss(IDS[i]) != wanted[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_stop_is_heard_while_another_thread_runs() -> None:
    mine = trainer("llama")
    raised: list[BaseException] = []

    def train() -> None:
        try:
            for _ in range(100_000):
                mine.step(IDS[0])
        except GgtuiError as error:
            raised.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    while thread.is_alive():
        mine.stop()
        thread.join(0.001)
    assert len(raised) == 1
    assert mine.loss(IDS[0]) > 0


def test_closed_it_trains_no_more() -> None:
    with trainer("llama", rank=2) as mine:
        mine.step(IDS[0])
        weights = mine.weights()
    for ask in (lambda: mine.loss(IDS[0]), lambda: mine.step(IDS[0]), mine.weights, mine.model, mine.memory):
        with pytest.raises(UsageError, match="the trainer is closed"):
            ask()
    mine.close()
    mine.stop()
    assert mine.n_steps == 1 and all(np.isfinite(w).all() for w in weights.values())
    with pytest.raises(AttributeError, match="a trainer has no 'lose'"):
        trainer().lose  # type: ignore[attr-defined]  # noqa: B018


def test_what_is_trained_runs_as_any_model(tmp_path: Path) -> None:
    """Logits of a batch are those of the engine for each of its texts."""
    with open_model("built-in") as file:
        mine = Trainer(file, threads=1)
    ids = np.random.default_rng(0).integers(0, mine.n_vocab, (2, 33))
    mine.step(ids)
    logits = mine.logits(ids).reshape(2, 32, -1)
    with load(mine.model(), threads=1, kv_type="f32") as session:
        for text, wanted in zip(ids, logits, strict=True):
            session.reset()
            got = session.eval(text[:-1].tolist(), all_logits=True)
            assert np.abs(got - wanted).max() <= 1e-4 * np.ptp(wanted)


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "mistral", "qwen3", "phi3", "gpt_neox"])
def test_gradients_of_other_architectures(name: str, tmp_path: Path) -> None:
    """With windows and caps: the loss changes along a random direction as the gradients say."""
    folder = with_vocabulary(name, tmp_path)
    with open_model(folder) as file:
        mine = Trainer(file, threads=1)
    rng = np.random.default_rng(1)
    ids = rng.integers(0, mine.n_vocab, (2, min(mine.n_ctx, 40) + 1))
    with load(folder, threads=1, kv_type="f32", ctx=ids.shape[1] - 1) as session:  # which frequencies hang on
        wanted = session.eval(ids[1, :-1].tolist(), all_logits=True)
    logits = mine.logits(ids).reshape(2, ids.shape[1] - 1, -1)[1]
    assert np.abs(logits - wanted).max() <= 1e-3 * np.ptp(wanted)
    _, gradients = mine.loss_and_gradients(ids)
    directions = {name: rng.standard_normal(g.shape).astype(np.float32) for name, g in gradients.items()}
    size, losses = 1e-3, []
    start = {name: w.copy() for name, w in mine.weights().items()}
    for by in (size, -size):
        for n, w in mine.weights().items():
            w[...] = start[n] + np.float32(by) * directions[n] * np.abs(start[n]).mean()
        losses.append(mine.loss(ids))
    slope = sum(
        float((g * directions[n]).sum(dtype=np.float64)) * np.abs(start[n]).mean() for n, g in gradients.items()
    )
    assert (losses[0] - losses[1]) / (2 * size) == pytest.approx(slope, rel=2e-2, abs=1e-3)


def test_what_it_takes_is_what_it_says() -> None:
    mine = trainer("llama")
    said = mine.prepare(2, 24)
    use = mine.memory()
    assert said == use.weights + use.optimizer + use.batch_activations + use.scratch + use.records
    assert use.optimizer == 2 * use.weights == 8 * mine.n_params
    small = trainer("llama", recompute=True)
    small.prepare(2, 24)
    assert small.memory().batch_activations < use.batch_activations
    mine.loss_and_gradients(np.zeros((2, 33), int))  # as much as a step of longer texts, and losses lie beside it
    arenas = {kind: planned.plan.arena_bytes for kind, planned in mine._planned.items()}
    assert mine.memory().batch_activations == arenas["loss"] + arenas["gradients"] > arenas["step"]


MEASURED = """
import sys
from dataclasses import astuple
from pathlib import Path
import numpy as np
import ggtui.core.engine.session
from ggtui.core.training.trainer import Trainer

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

ids = np.random.default_rng(0).integers(0, 4096, (4, 257))
before, rank = most(), int(sys.argv[1])
trainer = Trainer(rank=rank, threads=1, record="full", recompute=sys.argv[2] == "again")
said = trainer.prepare(4, 256)
for _ in range(2):
    trainer.loss(ids)
    trainer.sample("", 10)
    trainer.step(ids)
assert sum(astuple(trainer.memory())) == said
print(said, most() - before)
"""


@pytest.mark.bare
@pytest.mark.parametrize(("rank", "recompute"), [(0, "kept"), (0, "again"), (4, "kept")])
def test_what_it_takes_is_what_it_said(rank: int, recompute: str) -> None:
    """With validations and samples between the steps: the most that the process ever had, beyond what it had before."""
    told = subprocess.run(
        [sys.executable, "-c", MEASURED, str(rank), recompute], capture_output=True, text=True, check=True
    ).stdout.split()
    said, measured = map(int, told)
    assert said == pytest.approx(measured, rel=0.1, abs=16e6)  # what the interpreter has of plans is the same for all


@pytest.mark.parametrize("rank", [0, 4])
def test_samples_are_what_the_model_says_once_it_is_loaded(rank: int) -> None:
    mine = Trainer(threads=1, rank=rank)
    ids = np.random.default_rng(0).integers(0, 4000, (2, 25))
    for _ in range(3):
        mine.step(ids, 1e-2)
    text = mine.sample("Once upon a time", 20, seed=3)
    with load(mine.model(), threads=1, kv_type="f32") as session:
        said = "".join(s.text for s in session.generate("Once upon a time", 20, seed=3, temp=0.8))
    assert text == "Once upon a time" + said
    assert text == mine.sample("Once upon a time", 20, seed=3) != mine.sample("Once upon a time", 20, seed=4)
    mine.step(ids, 0.5)
    assert mine.sample("Once upon a time", 20, seed=3) != text  # what it learnt shows
    assert mine.sample("", 0) == ""
    with pytest.raises(UsageError):
        mine.sample("", -1)


@pytest.mark.bare
def test_memory_stays_as_it_is() -> None:
    mine = trainer("llama", threads=2, record="full")
    sizes = []
    for i in range(1000):
        mine.step(IDS[i % len(IDS)])
        if i in (200, 999):
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert sizes[1] - sizes[0] < 1 << 20


def test_an_adapter_begins_with_nothing_and_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "q8.gguf"
    with open_model("built-in") as file:
        convert(file, path, "q8_0")
        ids = np.random.default_rng(0).integers(0, 4000, (2, 25))
    whole, mine = Trainer(path, threads=1), Trainer(path, threads=1, rank=4)
    assert mine.loss(ids) == pytest.approx(whole.loss(ids), rel=1e-5)
    _, gradients = mine.loss_and_gradients(ids)
    _, of_whole = whole.loss_and_gradients(ids)
    name, scale = "blk.2.ffn_up.weight", np.float32(2.0)  # alpha / rank
    a = mine.weights()[name + LORA_A]
    assert not gradients[name + LORA_A].any()  # as long as B is nothing
    wanted = scale * of_whole[name] @ a.T
    assert np.abs(gradients[name + LORA_B] - wanted).max() <= 1e-3 * np.abs(wanted).max()
    before = mine._base[name].numpy().copy()
    losses = [mine.step(ids, 1e-2).loss for _ in range(6)]
    assert losses[-1] < losses[0] - 0.05
    assert np.array_equal(before, mine._base[name].numpy())
    merged = Trainer(mine.model(), threads=1)
    assert merged.loss(ids) == pytest.approx(mine.loss(ids), rel=1e-4)


def test_its_trace_is_one_of_steps(tmp_path: Path) -> None:
    mine = trainer("llama", record="full")
    trace = mine.trace([mine.step(ids).record for ids in IDS[:3]])
    save(trace, tmp_path / "trace.json")
    again = load_trace(tmp_path / "trace.json")
    (stage,) = stages(again)
    assert (stage.name, len(stage.tokens), stage.n_tokens) == ("training", 3, 3 * 48)
    assert any(line.startswith("training: ") and "a step of 48 tokens" in line for line in in_words(again))
    names = {node.name for node in again.graphs[0].nodes}
    assert {"blk.1.ffn_up", "blk.1.ffn_up:grad", "blk.1.ffn_up.weight:grad", "blk.1.ffn_up.weight:step"} <= names
    assert {node.layer for node in again.graphs[0].nodes if node.name.startswith("blk.1.ffn_up")} == {1}
