"""The engine's process: real ones, with the built-in model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_fixtures import text_of
from engines import LIMIT, Listener, N, started
from processes import alive

from ggtui.chat.conversation import Chat, Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.runtime.cores import usable_cores
from ggtui.viz.live import Live
from ggtui.viz.messages import (
    Alternatives,
    Batch,
    Began,
    Branch,
    Choose,
    Clear,
    Configure,
    Edit,
    Ended,
    Failed,
    Gone,
    Likeliest,
    Loaded,
    Loading,
    MeasuredKl,
    MeasureKl,
    MeasureLimits,
    Measuring,
    Profile,
    Redo,
    Regen,
    Restore,
    Say,
    Stop,
    Turns,
    Undo,
)

WITHOUT_END = {"n_predict": -1, "ctx_shift": True}


def test_it_tells_of_the_model(here: Chat) -> None:
    listener = started(temp=0.5)
    try:
        loaded, session = listener.until(Loaded), here.session
        assert loaded.run.model == "tales.gguf" and loaded.run.threads == 1 and loaded.run.profile == "full"
        assert (loaded.n_ctx, loaded.n_vocab, loaded.eos) == (session.n_ctx, 4096, session.tokenizer.eos)
        assert {t.name for t in loaded.tensors} == set(session.weights)
        assert loaded.metadata["general.architecture"] == "gpt2" and "tokenizer.ggml.tokens" not in loaded.metadata
        assert loaded.settings["temp"] == 0.5 and loaded.settings["mode"] == "complete"
        assert [n.name for n in loaded.graphs[0].nodes] == [n.name for n in session.graphs()[0].nodes]
        assert os.getsid(listener.engine.pid) == listener.engine.pid, "no Ctrl+C of the terminal reaches it"
    finally:
        listener.engine.close()


def test_an_answer_is_what_a_chat_says(engine: Listener, new_chat: Any) -> None:
    chat = new_chat(temp=0.9, n_predict=40)
    engine.engine.send(Configure({"temp": 0.9, "n_predict": 40}))
    for prompt in ("Once upon a time", " And then", ""):
        ended = engine.ask(Say(prompt), Ended)
        wanted = list(chat.say(prompt))
        steps = engine.steps()
        assert [s.token for s in steps] == [s.token for s in wanted]
        assert [s.text for s in steps] == [s.text for s in wanted]
        assert [s.logprob for s in steps] == [s.logprob for s in wanted]
        assert [s.n_kv for s in steps] == [s.record.n_past + s.record.n_tokens for s in wanted]
        assert [s.record.stage for s in steps] == [s.record.stage for s in wanted]
        chat.alternatives(1)  # which reads the end of it, as the engine does to know what follows
        assert ended.turn == chat.turns[-1] and ended.n_past == chat.session.n_past


def test_evaluations_are_told_with_their_records(engine: Listener, here: Chat) -> None:
    text_of(here.say("Once upon a time"))
    live = Live()
    ended = engine.ask(Say("Once upon a time"), Ended)
    for event in (engine.loaded, *engine.before, ended):
        live.take(event)
    batches = [event for event in engine.before if isinstance(event, Batch)]
    runs = [run for batch in batches for run in batch.evaluations]
    assert len(runs) + sum(batch.unrecorded for batch in batches) == N
    last = runs[-1]
    assert len(last.records) > len(here.session.graphs()[0].nodes) and last.dropped == 0
    assert live.trace().graphs[0].nodes == here.session.graphs()[0].nodes
    told = [batch for batch in batches if batch.rss][-1]
    assert told.rss > 10_000_000 and told.memory is not None and told.memory.weights > 1_000_000
    assert [run.n_tokens for run in runs if run.n_tokens > 1] == [4], "the prompt is never pushed out"


def test_without_a_profile_no_records_come(engine: Listener) -> None:
    engine.engine.send(Profile(False))
    engine.ask(Say("Once upon a time"), Ended)
    batches = [event for event in engine.before if isinstance(event, Batch)]
    assert sum(b.unrecorded for b in batches) == N and not any(b.evaluations for b in batches)
    engine.engine.send(Profile(True))


def test_other_commands(engine: Listener, here: Chat) -> None:
    for prompt in ("Once upon a time", " And"):
        text_of(here.say(prompt))
        engine.ask(Say(prompt), Ended)
    text_of(here.regen())
    assert engine.ask(Regen(), Ended).turn == here.turns[-1]
    assert Began(" And", "complete", replaces=True) in engine.before
    text_of(here.edit(" But"))
    assert engine.ask(Edit(" But"), Ended).turn == here.turns[-1]
    rows = engine.ask(Alternatives(4), Likeliest)
    assert rows.keep == N and [(r.token, r.text, r.p) for r in rows.rows] == here.alternatives(4)
    rows = engine.ask(Alternatives(4, 3), Likeliest)
    assert rows.keep == 3 and [(r.token, r.text, r.p) for r in rows.rows] == here.alternatives(4, 3)
    token = rows.rows[1].token
    kept = here.turns[-1].sampled[:3]
    text_of(here.choose(3, token))
    ended = engine.ask(Choose(3, token), Ended)
    assert ended.turn == here.turns[-1] and ended.turn.sampled[:4] == [*kept, token]
    (began,) = (event for event in engine.before if isinstance(event, Began))
    assert began.replaces and [step.token for step in began.kept] == kept
    steps = engine.steps()
    assert [step.n_kv + 1 for step in began.kept] == [step.n_kv for step in (*began.kept[1:], steps[0])]
    assert steps[0].token == token and text_of((*began.kept, *steps)) == ended.turn.text
    for command, act in ((Branch(-1), lambda: here.branch(-1)), (Undo(), here.undo), (Redo(), here.redo)):
        act()
        assert engine.ask(command, Turns).tree == here.tree
    assert len(here.tree.items) == 5, "of the second prompt there are four answers"
    assert engine.ask(Clear(), Turns) == Turns(Tree(), 0, replaced=True)
    assert engine.ask(Undo(), Turns).tree == here.tree


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Redo(), "nothing to bring back"),
        (Branch(1), "no other answer"),
        (Regen(), "nothing was said"),
        (Edit("x"), "nothing was said"),
        (Choose(0, 1), "nothing was said"),
        (Alternatives(3, 5), "keep 5: the answer has 0 tokens"),
        (Configure({"temp": -1.0}), "temp -1.0: must be 0 or more"),
        (Configure({"threads": 2}), "threads: no setting of a chat"),
        (Restore(Tree((Turn("a\nb", mode="sing"),))), "mode 'sing'"),
        (Say("word " * 600), "don't fit"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(engine: Listener, command: Any, line: str) -> None:
    failed = engine.ask(command, Failed)
    assert line in failed.message and "\n" not in failed.message
    assert engine.ask(Say("Once"), Ended).reason == "n_predict"


def test_choosing_what_is_not_there(engine: Listener) -> None:
    ended = engine.ask(Say("Once"), Ended)
    for command in (Choose(N + 1, 1), Choose(1, 1 << 20)):
        engine.ask(command, Failed)
    assert engine.ask(Alternatives(1), Likeliest).keep == N
    engine.engine.send(Restore(Tree((ended.turn,))))
    assert engine.until(Turns).tree.path == [ended.turn], "with its tokens"


def test_a_full_context_says_what_to_do(engine: Listener) -> None:
    engine.engine.send(Configure({"n_predict": -1}))
    ended = engine.ask(Say("word " * 500), Ended)
    assert ended.reason == "context full" and "ctx-shift" in ended.note
    assert "is full" in engine.ask(Say("word " * 9), Failed).message
    assert any(isinstance(event, Ended) and event.turn is None for event in engine.before)


def test_stop_while_it_speaks(engine: Listener) -> None:
    engine.engine.send(Configure(WITHOUT_END))
    engine.engine.send(Say("Once upon a time"))
    engine.until(Batch)
    ended = engine.ask(Stop(), Ended)
    assert ended.reason == "interrupted" and ended.turn is not None and ended.turn.sampled
    engine.engine.send(Configure({"n_predict": N}))
    assert engine.ask(Say(" And"), Ended).reason == "n_predict"


def test_stop_before_the_first_token(engine: Listener) -> None:
    engine.ask(Say("Once"), Ended)
    for command in (Say("word " * 480), Regen()):
        engine.engine.send(command)
        ended = engine.ask(Stop(), Ended)
        if ended.turn is None:
            assert ended.reason == "interrupted"
            assert len(engine.until(Turns).tree.path) == 1
        else:  # the stop came late
            engine.ask(Undo(), Turns)


def test_no_stop_is_lost_and_none_hits_another_answer(engine: Listener) -> None:
    """A stop at any moment, and at once the next answer behind it."""
    prompt = "word " * 60
    for i in range(24):
        engine.engine.send(Configure(WITHOUT_END))
        engine.engine.send(Say(prompt))
        time.sleep(i * 0.0007)
        engine.engine.send(Stop())
        engine.engine.send(Configure({"n_predict": 2}))
        engine.engine.send(Say(prompt))
        assert engine.until(Ended).reason == "interrupted"
        ended = engine.until(Ended)
        assert ended.reason == "n_predict" and len(engine.steps()) == 2
        engine.ask(Clear(), Turns)


def test_a_screen_that_does_not_listen(engine: Listener) -> None:
    """It gets everything later: all of the text, and a count of the evaluations it was not sent."""
    engine.engine.send(Configure({"n_predict": 3000, "ctx_shift": True}))
    engine.engine.send(Say("Once upon a time"))
    time.sleep(1.0)
    ended = engine.until(Ended)
    assert ended.turn is not None and text_of(engine.steps()) == ended.turn.text
    assert len(engine.steps()) == 3000 or ended.reason == "end of text"


def test_killed_and_begun_anew() -> None:
    listener = started(temp=0.0)
    try:
        listener.until(Loaded)
        first = listener.ask(Say("Once upon a time"), Ended).turn
        second = listener.ask(Say(" And"), Ended).turn
        os.kill(listener.engine.pid, signal.SIGKILL)
        gone = listener.until(Gone)
        assert "SIGKILL" in gone.message and not gone.loading and listener.engine.receive() == []
        listener.engine.send(Undo())  # to nobody
        listener.engine.restart({})
        listener.engine.send(Restore(Tree((first, second))))
        turns = listener.until(Turns)
        assert turns.tree.path == [first, second] and turns.n_past == 0
        assert listener.ask(Regen(), Ended).turn == second
        for number, name in ((signal.SIGINT, None), (signal.SIGTERM, "SIGTERM")):
            os.kill(listener.engine.pid, number)
            if name is None:
                assert listener.ask(Regen(), Ended).turn == second
            else:
                assert name in listener.until(Gone).message
    finally:
        listener.engine.close()


def test_a_device_without_known_limits_says_so() -> None:
    listener = started(device="reference")
    try:
        assert listener.until(Loaded).limits is None
        told = listener.ask(MeasureLimits(), Failed)
        assert told.message == "device reference: what it allows is not measured"
    finally:
        listener.engine.close()


def test_what_fewer_bits_would_cost_is_of_the_chat(engine: Listener) -> None:
    assert engine.ask(MeasureKl(), Failed).message == "nothing was said yet that fewer bits could change"
    engine.ask(Say("Once upon a time"), Ended)
    found = engine.ask(MeasureKl(), MeasuredKl)
    parts = [event.part for event in engine.before if isinstance(event, Measuring)]
    assert parts == sorted(parts) and parts[-1] == 1
    assert found.kl["blk.0.ffn_up.weight"]["q4_k"] > 0
    engine.engine.send(MeasureKl())
    assert engine.ask(Stop(), Failed).message == "what fewer bits cost was not measured to its end"


def test_a_restart_that_fails_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "no memory")

    listener = started()
    try:
        listener.until(Loaded)
        monkeypatch.setattr("ggtui.viz.engine.subprocess.Popen", refuse)
        listener.engine.restart({})
        assert [event for _ in range(3) for event in listener.engine.receive()] == [
            Gone("the engine does not start: [Errno 12] no memory")
        ]
    finally:
        listener.engine.close()


def test_an_error_of_its_own_ends_it_with_one_line() -> None:
    listener = started()
    try:
        listener.until(Loaded)
        listener.engine.send(Say(5))  # type: ignore[arg-type]
        gone = listener.until(Gone)
        assert "exit code 1" in gone.message and "Error" in gone.message and "\n" not in gone.message
    finally:
        listener.engine.close()


@pytest.mark.parametrize("content", [None, b"not a model \x1b[31m"])
def test_a_bad_model_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad\n.gguf"
    if content is not None:
        path.write_bytes(content)
    listener = started(model=str(path))
    gone = listener.until(Gone)
    assert gone.loading and gone.exit_code == 4
    assert r"bad\n.gguf" in gone.message and "\n" not in gone.message
    listener.engine.close()


TELLS_EACH_SHARE = """
from ggtui import register_type
from ggtui.viz import outbox

outbox.LOADING_SECONDS = 0.0

@register_type
class Bytes:
    name, block, bytes, head = "bytes", 1, 1, 0
"""


def test_it_tells_how_much_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "each.py").write_text(TELLS_EACH_SHARE)
    (tmp_path / "king.gguf").symlink_to(BUILT_IN)
    listener = started(model=str(tmp_path / "king.gguf"), type_from=(str(tmp_path / "each.py"),))
    listener.until(Loaded)
    told = [event for event in listener.before if isinstance(event, Loading)]
    assert len(told) == len(listener.before) > 2 and {event.model for event in told} == {"king"}
    parts = [event.part for event in told]
    assert parts == sorted(parts) and 0 <= parts[0] < 1 and parts[-1] == 1
    listener.engine.close()


def test_ended_while_it_loads() -> None:
    listener = started()
    os.kill(listener.engine.pid, signal.SIGKILL)
    assert listener.until(Gone).loading
    listener.engine.close()
    listener.engine.close()


PARENT = """
import sys, time
from engines import started
from ggtui.viz.messages import Loaded, Say, Configure
listener = started(n_predict=-1, ctx_shift=True)
if sys.argv[1] == "loaded":
    listener.until(Loaded)
    listener.engine.send(Say("Once upon a time"))
print(listener.engine.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.bare
@pytest.mark.parametrize("when", ["loading", "loaded"])
def test_it_dies_with_its_parent(when: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, when], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + LIMIT
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def test_without_a_number_one_core_is_the_screens() -> None:
    engine = started(threads=None)
    assert engine.until(Loaded).run.threads == max(1, usable_cores() - 1)
    engine.engine.close()
