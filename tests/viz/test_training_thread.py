"""A training in a thread: what it tells, and that what was asked for is done between two steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up_training import RUN, MadeUpTraining, until

from ggtui.core.engine.trace_file import load
from ggtui.core.training.events import Ended, Saved, Stepped
from ggtui.viz.training_thread import TRACED, Failed, News, SavedLog, Told, TrainingThread


class Heard:
    """All that a thread told so far."""

    def __init__(self, training: MadeUpTraining, **options: Any) -> None:
        self.training, self.news = training, list[News]()
        self.thread = TrainingThread(training, **options)  # type: ignore[arg-type]

    def kinds(self, kind: type) -> list[Any]:
        self.news += self.thread.receive()
        return [news for news in self.news if isinstance(news, kind)]

    def told(self) -> list[str]:
        return [news.text for news in self.kinds(Told)]

    def wait(self) -> None:
        """Until a step is under way, or there is none any more."""
        until(lambda: self.training.under_way == self.training.progress.step + 1 or not self.thread.runs)

    def step(self, n: int = 1) -> None:
        """Let it take so many more steps, and wait for them."""
        self.wait()
        target = self.training.progress.step + n
        for _ in range(n):
            self.training.may.release()
        until(lambda: not self.thread.runs or self.training.under_way == target + 1)

    def pause(self) -> None:
        """After one more step."""
        self.wait()
        self.thread.pause()
        self.training.may.release()
        until(lambda: any(text.startswith("Paused") for text in self.told()))


def test_runs_to_its_end() -> None:
    heard = Heard(MadeUpTraining(steps=3), limits=lambda: RUN.limits)
    heard.step(3)
    until(lambda: not heard.thread.runs)
    assert heard.kinds(Ended) == [Ended(3, "done")] and not heard.kinds(Failed)
    newest = heard.thread.newest
    assert newest is not None and newest.tokens == (RUN.tokens[3],) and newest.limits == RUN.limits
    heard.thread.close()


def test_an_error_comes_back() -> None:
    heard = Heard(MadeUpTraining(fails=1))
    heard.training.may.release()
    until(lambda: not heard.thread.runs)
    assert [str(failed.error) for failed in heard.kinds(Failed)] == ["step 1: the loss is nan"]


def test_pause_holds_the_next_step_until_it_goes_on() -> None:
    heard = Heard(MadeUpTraining())
    heard.step()
    heard.pause()
    assert heard.told() == ["Paused behind step 2."]
    heard.training.may.release()
    assert len(heard.kinds(Stepped)) == 2 and heard.thread.paused
    heard.thread.pause()
    until(lambda: len(heard.kinds(Stepped)) == 3)
    assert heard.told()[-1] == "Going on." and not heard.thread.paused
    heard.thread.close()


def test_rate() -> None:
    heard = Heard(MadeUpTraining())
    heard.wait()
    heard.thread.slow_down(0.5)
    heard.step(2)
    assert heard.kinds(Stepped)[-1].rate == 5e-4
    assert heard.told() == ["The rate is 0.5 of the schedule's from step 2 on."]
    heard.thread.slow_down(0.25)
    heard.step()
    until(lambda: len(heard.told()) == 2)
    assert heard.kinds(Told)[-1] == Told("rate times 0.125: too far from what was asked for", problem=True)
    heard.thread.close()


def test_a_paused_training_saves_at_once() -> None:
    heard = Heard(MadeUpTraining())
    heard.step()
    heard.pause()
    heard.thread.save()
    until(lambda: bool(heard.kinds(Saved)))
    assert heard.kinds(Saved) == [Saved(2, "tales.gguf")] and len(heard.kinds(Stepped)) == 2
    heard.thread.close()


def test_a_paused_training_ends() -> None:
    heard = Heard(MadeUpTraining())
    heard.step()
    heard.pause()
    heard.thread.end()
    heard.thread.close()
    assert heard.kinds(Ended)[-1].reason == "stopped" and isinstance(heard.news[-2], Saved)


def test_trace_is_of_the_last_steps(tmp_path: Path) -> None:
    heard = Heard(MadeUpTraining(str(tmp_path / "t.gguf")), limits=lambda: RUN.limits)
    heard.step(TRACED + 2)
    before = len(heard.told())
    heard.thread.trace()
    heard.step()
    until(lambda: len(heard.told()) == before + 1)
    path = tmp_path / f"t.gguf.step-{TRACED + 3}.json"
    assert heard.told()[-1] == f"Saved the last {TRACED} steps: ggtui perf --open {path}"
    found = load(path)
    assert len(found.tokens) == TRACED and found.limits == RUN.limits
    heard.thread.close()


def test_there_is_no_trace_before_a_step(tmp_path: Path) -> None:
    heard = Heard(MadeUpTraining(str(tmp_path / "t.gguf")))
    heard.thread.end()  # before it begins, or in its first step, which is then the last one
    heard.thread.close()
    heard.thread._records.clear()
    assert heard.thread._trace() == "No step was recorded yet." and not list(tmp_path.iterdir())


def test_a_trace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    heard = Heard(MadeUpTraining(str(tmp_path / "none" / "t.gguf")))
    heard.step()
    heard.thread.trace()
    heard.step()
    until(lambda: bool(heard.kinds(Told)))
    assert heard.kinds(Told)[0].problem and "none" in heard.told()[0]
    heard.thread.close()


def test_close_ends_it_and_abandon_stops_it() -> None:
    heard = Heard(MadeUpTraining())
    heard.thread.abandon()
    assert heard.training.trainer.stopped
    heard.thread.close()
    assert not heard.thread.runs and heard.training.asked == ["end"]


@pytest.mark.parametrize("key", ["pause", "save", "trace", "end"])
def test_of_a_log_nothing_can_be_asked(key: str) -> None:
    log = SavedLog([Ended(3, "done")])
    assert log.receive() == [Ended(3, "done")]
    getattr(log, key)()
    log.slow_down(2)
    assert log.receive() == [] and not log.runs
