"""`ggtui train`: to its end, gone on with to the same bits however it was left, its log, and what is refused."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.files import open_model
from ggtui.core.training.log import read_log

Run = Callable[..., Any]
DATA = Path(__file__).parent.parent / "data"
TEXT = DATA / "heldout.txt"
LOG = DATA / "tales-training.jsonl"
TINY = (
    "--shape=llama:embd=32,layer=1,head=2,ff=64,ctx=32", "--vocab=built-in", "--ctx=16", "--batch=2",
    "--eval-windows=2", "--sample=4",
)  # fmt: skip
SHORT = (*TINY, "--steps=8", "--eval-every=4", "--save-every=4")
LONG = (*TINY, "--steps=400", "--eval-every=200", "--save-every=50")  # so long that it can be interrupted


def tensors(path: Path) -> dict[str, bytes]:
    with open_model(path) as file:
        return {name: np.ascontiguousarray(file.data(name)).tobytes() for name in file.tensors}


def heard(program: Any, pattern: bytes) -> bytes:
    """What it printed up to a line like this."""
    said = b""
    while not re.search(pattern, said):
        more = program.stdout.readline()
        assert more, (said, program.stderr.read())
        said += more
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tensors of the long training that nothing interrupted."""
    from ggtui.cli import main

    out = tmp_path_factory.mktemp("whole") / "whole.gguf"
    assert main(["train", str(TEXT), *LONG, "--out", str(out), "--plain", "--quiet", "--threads", "1"]) == 0
    return tensors(out)


@pytest.mark.pool
def test_to_its_end(ggtui: Run, tmp_path: Path) -> None:
    out, log = tmp_path / "a.gguf", tmp_path / "a.jsonl"
    code, said, err = ggtui("train", str(TEXT), *SHORT, "--out", str(out), "--json", str(log), "--plain")
    assert (code, err) == (0, "")
    for line in (
        r"[\d,]+ parameters learn from 10,\d{3} tokens; \d+ to validate with",
        r"8 steps of 2 x 16 tokens on 1 thread, .* of memory",
        r" +0  validation \d\.\d{4}", r" +1  loss \d\.\d{4}  norm .* left", r" +4  validation \d\.\d{4}",
        r" +4  saved .*a\.gguf", r" +8  done",
    ):  # fmt: skip
        assert re.search(f"(?m)^{line}$", said), line
    events = read_log(log)
    kinds = ["began", "measured", *["step"] * 4, "measured", "saved", *["step"] * 4, "measured", "saved", "ended"]
    assert [event.kind for event in events] == kinds
    assert [event.step for event in events if event.kind == "step"] == list(range(1, 9))
    began, last = events[0], events[-4]
    assert began.kind == "began" and began.settings["steps"] == 8 and began.threads == 1
    assert last.kind == "step" and set(last.times) == {"forward", "backward", "optimizer"}
    assert {"blk.0", "token_embd", "output_norm"} <= set(last.norms)
    answer = ggtui("chat", str(out), "-p", "Once", "-n", "4", "--plain")
    assert answer.code == 0


@pytest.mark.pool
def test_quiet_says_nothing(ggtui: Run, tmp_path: Path) -> None:
    assert ggtui("train", str(TEXT), *SHORT, "--out", str(tmp_path / "a.gguf"), "--quiet") == (0, "", "")


@pytest.mark.pool
def test_stopped_and_resumed_to_equal_bits(ggtui: Run, start: Run, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out, log = tmp_path / "a.gguf", tmp_path / "a.jsonl"
    program = start("train", str(TEXT), *LONG, "--out", str(out), "--json", str(log), "--plain")
    heard(program, rb" 1  loss")
    program.send_signal(signal.SIGINT)
    said, err = program.communicate()
    assert (program.returncode, err) == (130, b"") and said.endswith(b"  stopped\n")
    steps = read_log(log)[-1].step
    assert 0 < steps < 400
    more = ggtui("train", "--resume", "--out", str(out), "--json", str(log), "--plain")
    assert (more.code, more.err) == (0, "") and f"going on behind step {steps}" in more.out
    assert tensors(out) == whole
    events = read_log(log)
    assert [event.step for event in events if event.kind == "step"] == list(range(1, 401))
    assert [event.kind for event in events].count("began") == 1 and events[-1].kind == "ended"


@pytest.mark.pool
def test_killed_and_resumed_to_equal_bits(ggtui: Run, start: Run, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out, log = tmp_path / "a.gguf", tmp_path / "a.jsonl"
    program = start("train", str(TEXT), *LONG, "--out", str(out), "--json", str(log), "--plain")
    heard(program, rb" 100  saved")
    program.kill()
    program.communicate()
    assert program.returncode == -signal.SIGKILL
    assert ggtui("train", "--resume", "--out", str(out), "--json", str(log), "--plain").code == 0
    assert tensors(out) == whole
    assert [event.step for event in read_log(log) if event.kind == "step"] == list(range(1, 401))


@pytest.mark.pool
def test_what_exists_is_overwritten_only_by_force(ggtui: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.gguf"
    out.write_bytes(b"mine")
    code, said, err = ggtui("train", str(TEXT), *SHORT, "--out", str(out), "--plain")
    assert (code, said) == (2, "") and err.count("\n") == 1
    assert "exists; go on with it by --resume, give --force to overwrite it, or choose another name" in err
    assert out.read_bytes() == b"mine"
    assert ggtui("train", str(TEXT), *SHORT, "--out", str(out), "--plain", "--force").code == 0
    assert "token_embd.weight" in tensors(out)


@pytest.mark.pool
def test_it_goes_on_where_it_is_asked_for(ggtui: Run, tmp_path: Path) -> None:
    out, copy, log = tmp_path / "a.gguf", tmp_path / "b.gguf", tmp_path / "a.jsonl"
    assert ggtui("train", str(TEXT), *SHORT, "--out", str(out), "--json", str(log), "-q").code == 0
    before = {place: place.read_bytes() for place in tmp_path.iterdir()}
    shutil.copy(f"{out}.checkpoint", f"{copy}.checkpoint")
    more = ggtui("train", "--resume", "--out", str(copy), "--lr", "1e-4", "--plain")
    assert (more.code, more.err) == (0, "") and tensors(copy) == tensors(out)
    assert all(place.read_bytes() == data for place, data in before.items())
    other = tmp_path / "other.jsonl"
    other.write_bytes(LOG.read_bytes())
    code, _, err = ggtui("train", "--resume", "--out", str(out), "--json", str(other), "-q")
    assert code == 2 and err == f"ggtui: {other}: is the log of another training; name another one with --json\n"
    assert other.read_bytes() == LOG.read_bytes()


@pytest.mark.pool
def test_force_begins_anew(ggtui: Run, start: Run, tmp_path: Path) -> None:
    """What is ended before its first save leaves no checkpoint of the one before."""
    out = tmp_path / "a.gguf"
    assert ggtui("train", str(TEXT), *SHORT, "--out", str(out), "-q").code == 0
    program = start("train", str(TEXT), *LONG, "--save-every", "400", "--out", str(out), "--force", "--plain")
    heard(program, rb" 1  loss")
    program.kill()
    program.communicate()
    code, _, err = ggtui("train", "--resume", "--out", str(out), "-q")
    assert code == 2 and "there is no training of" in err


@pytest.mark.pool
def test_where_nobody_reads_the_lines_it_saves(start: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.gguf"
    program = start("train", str(TEXT), *LONG, "--save-every", "400", "--out", str(out), "--eval-every", "1", "--plain")
    heard(program, rb" 1  loss")
    program.stdout.close()
    assert program.wait(timeout=60) == 0 and program.stderr.read() == b""
    assert Path(f"{out}.checkpoint").exists() and "token_embd.weight" in tensors(out)


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        ((), 2, "where to? name a file with --out OUT"),
        (("--out", "{tmp}/a.gguf"), 2, "no texts"),
        (("{tmp}/none.txt", "--out", "{tmp}/a.gguf"), 2, "none.txt"),
        (("{text}", "--out", "{tmp}/a.gguf", "--steps", "x"), 2, "--steps"),
        (("{text}", "--out", "{tmp}/a.gguf", "--vocab", "512"), 2, "--vocab: is of a model from nothing"),
        (("{text}", "--out", "{tmp}/a.gguf", "--json", ""), 2, "--json '': is no name of a file"),
        (("{text}", "--out", ""), 2, "--out '': is no name of a file"),
        (("", "--out", "{tmp}/a.gguf"), 2, "no texts"),
        (("{text}", "--out", "{tmp}/a.gguf", "--json", "{text}", "--force"), 2, "is what the training reads"),
        (("{text}", "--out", "{tmp}/a.gguf", "--steps", "0"), 2, "steps 0: must be at least 1"),
        (("{text}", "--out", "{tmp}/a.gguf", "--optimizer", "adam"), 2, "choose one of adamw, sgd"),
        (("{text}", "--out", "{tmp}/a.gguf", "--shape", "gpt2:embd=32", "--rank", "4"), 2, "leave shape out"),
        (("{text}", "--out", "{tmp}/a.gguf", "--shape", "none:embd=32"), 2, "none"),
        (("{text}", "--out", "{tmp}/a.gguf", "--from", "{tmp}/none.gguf"), 4, "does not exist"),
        (("{text}", "--out", "{tmp}/a.gguf", "--step", "3"), 2, "did you mean --steps?"),
        (("--resume", "--out", "{tmp}/a.gguf"), 2, "there is no training of {tmp}/a.gguf to go on with"),
        (("{text}", "--resume", "--out", "{tmp}/a.gguf", "--batch", "1"), 2, "leave out --batch, TEXT"),
        (("--open", "{tmp}/none.jsonl"), 2, "No such file or directory; name a log that `ggtui train --json` wrote"),
        (("{text}", "--open", "{log}", "--out", "a", "--lr", "1"), 2, "trains nothing; leave out TEXT, --lr, --out"),
        (("--open", "{tmp}"), 2, "Is a directory"),
    ],
)  # fmt: skip
def test_refusals(ggtui: Run, tmp_path: Path, args: tuple[str, ...], code: int, problem: str) -> None:
    places = {"tmp": tmp_path, "text": TEXT, "log": LOG}
    result = ggtui("train", *(arg.format(**places) for arg in args))
    assert result.code == code and problem.format(**places) in result.err
    assert result.err.count("\n") == 1 and not list(tmp_path.iterdir())


# ---- logs ----


def test_a_log_in_lines(ggtui: Run) -> None:
    code, said, err = ggtui("train", "--open", str(LOG), "--plain")
    assert (code, err) == (0, "") and ggtui("train", "--open", str(LOG)).out == said
    assert said.startswith("184,608 parameters learn from 10,741 tokens; 565 to validate with\n")
    assert "    20  validation 6.5191\n" in said and said.endswith("   120  saved tales.gguf\n   120  done\n")
    assert ggtui("train", "--open", str(LOG), "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"event": "began"', '"event": "begun"', "line 1 is no event"),
        ('"loss": 8.31312', '"loss": NaN', "line 2 is no event of a training"),
        ('"loss": 8.31312', '"loss": 1e999', "loss is inf"),
        ('"loss": 8.31312', '"loss": "low"', "loss is 'low'"),
        ('"parameters": 184608', '"parameters": -1', "parameters is -1"),
        ('"forward": ', '"forward": 1e400, "x": ', "times are not all numbers"),
        ('"blk.0": ', '"blk.0": [], "x": ', "norms are not all numbers"),
        ('"steps": 120', '"steps": "many"', "settings of the training have steps 'many'"),
        ('"ctx": 64, "batch"', '"batch"', None),
        ('"steps": 120, ', "", None),
        ("{", "[", "line 1 is no event"),
        ('"event": "began"', '"event": "ended", "reason": ""', "line 1 is no event"),
    ],
)  # fmt: skip
def test_a_damaged_log(ggtui: Run, tmp_path: Path, old: str, new: str, problem: str | None) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(LOG.read_text().replace(old, new, 1))
    code, said, err = ggtui("train", "--open", str(log), "--plain")
    if problem is None:  # what it does not say has its default
        assert (code, err) == (0, "") and said
        return
    assert code == 2 and err.count("\n") == 1 and problem in err and str(log) in err


@pytest.mark.parametrize("first", [0, 1])
def test_no_training_begins_in_it(ggtui: Run, tmp_path: Path, first: int) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(LOG.read_text().splitlines(keepends=True)[1 : 1 + 3 * first]))
    code, said, err = ggtui("train", "--open", str(log))
    assert (code, said) == (2, "") and f"{log}: no training begins in it" in err and err.count("\n") == 1


def test_a_log_that_is_cut_off_is_shown_up_to_there(ggtui: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(LOG.read_bytes()[:-300])
    code, said, err = ggtui("train", "--open", str(log))
    assert (code, err) == (0, "") and "done" not in said and "validation" in said


# ---- on a terminal ----


class Terminal:
    """The program on a terminal of its own, 80 by 24."""

    def __init__(self, start: Run, *args: str) -> None:
        self.keyboard, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        environ = {**os.environ, "TERM": "xterm-256color"}
        self.program = start(
            "train", *args, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.shown = b""

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + 60
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            if select.select([self.keyboard], [], [], 0.1)[0]:
                self.shown += os.read(self.keyboard, 65536)
        self.shown = self.shown.partition(text)[2]

    def press(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def close(self) -> int:
        """Its exit code."""
        code = None
        deadline = time.monotonic() + 60
        while (code := self.program.poll()) is None:
            assert time.monotonic() < deadline
            try:
                if select.select([self.keyboard], [], [], 0.05)[0]:
                    self.shown += os.read(self.keyboard, 65536)
            except OSError:  # the other end is closed
                time.sleep(0.01)
        os.close(self.keyboard)
        return int(code)


@pytest.mark.pool
@pytest.mark.bare
def test_the_screen_trains_saves_and_ends(ggtui: Run, start: Run, tmp_path: Path) -> None:
    out, log = tmp_path / "a.gguf", tmp_path / "a.jsonl"
    steps = ("--steps=100000", "--eval-every=50000", "--save-every=50000")
    for more in ((str(TEXT), *TINY, *steps), ("--resume",)):
        terminal = Terminal(start, *more, "--out", str(out), "--json", str(log))
        terminal.until(b"gradients")
        terminal.press(b"t")
        terminal.until(b"Saved the last ")
        terminal.press(b"q")
        terminal.until(b"and end?")
        terminal.press(b"q")
        assert terminal.close() == 0
        assert b"  stopped\r\n" in terminal.shown
    assert "token_embd.weight" in tensors(out) and Path(f"{out}.checkpoint").exists()
    events = read_log(log)
    assert [event.kind for event in events[-2:]] == ["saved", "ended"]
    numbers = [event.step for event in events if event.kind == "step"]
    assert numbers == list(range(1, len(numbers) + 1))
    trace = next(tmp_path.glob("a.gguf.step-*.json"))
    shown = ggtui("perf", "--open", str(trace), "--plain")
    assert (shown.code, shown.err) == (0, "") and shown.out.startswith("training: ") and ":grad" in shown.out


@pytest.mark.pool
@pytest.mark.bare
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_first(start: Run, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "a.gguf"
    steps = ("--steps=100000", "--eval-every=50000", "--save-every=50000")
    terminal = Terminal(start, str(TEXT), *TINY, *steps, "--out", str(out))
    terminal.until(b"gradients")
    terminal.program.send_signal(number)
    assert terminal.close() == 128 + number
    assert Path(f"{out}.checkpoint").exists()


@pytest.mark.bare
def test_a_log_on_the_screen(start: Run) -> None:
    terminal = Terminal(start, "--open", str(LOG))
    terminal.until(b"gradients")
    terminal.press(b"q")
    assert terminal.close() == 0
