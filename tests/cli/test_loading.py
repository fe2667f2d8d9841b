"""The bar while a command loads its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ggtui.cli.loading import AFTER, load
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.files import open_model
from ggtui.viz import progress


class Bars:
    """In place of bars: which were drawn, and how far they were told that the work is."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, float]] = []
        self.told: list[tuple[int, int]] = []
        self._n_open = 0

    @contextmanager
    def bar(self, what: str, *, quiet: bool = False, after: float = 0.0) -> Iterator[progress.Progress | None]:
        if quiet:
            yield None
            return
        assert self._n_open == 0, f"{what}: a bar is drawn already, on the same lines"
        self.drawn.append((what, after))
        self._n_open += 1
        yield lambda done, total: self.told.append((done, total))
        self._n_open -= 1


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    made = Bars()
    monkeypatch.setattr(progress, "progress_bar", made.bar)
    return made


def test_its_bar_is_told_all_of_the_weights(bars: Bars) -> None:
    with load(None, quiet=False, threads=1) as session:
        n_bytes = sum(t.n_rows * t.type.row_bytes(t.ne[0]) for t in session.weights.values())
    assert bars.drawn == [("loading the built-in model", AFTER)] and bars.told[-1] == (n_bytes, n_bytes)
    load(None, quiet=True, threads=1).close()
    assert len(bars.drawn) == 1
    with open_model(BUILT_IN) as file:
        load(file, quiet=False, threads=1).close()
    assert bars.drawn[1:] == [("loading tales", AFTER)]


@pytest.mark.parametrize(
    ("words", "n"),
    [
        ("chat MODEL -p Once -n 1", 1),
        ("trace MODEL -p Once --json OUT", 1),
        ("perf MODEL -n 2 -r 2 --n-prompt 2 --json OUT", 1),  # loads more than once, within its own bar
        ("perf MODEL --on reference --n-prompt 2 --json OUT", 2),
        ("bench MODEL -p 2 -n 0 -r 1", 1),
        ("perplexity MODEL TEXT --base MODEL --ctx 4 --chunks 1", 2),
    ],
)
def test_the_commands_that_load_have_one(
    ggtui: Callable[..., Any], bars: Bars, tmp_path: Path, words: str, n: int
) -> None:
    (tmp_path / "a tale.txt").write_text("Once upon a time there was a king . " * 4)
    (tmp_path / "king.gguf").symlink_to(BUILT_IN)
    names = {"MODEL": "king.gguf", "OUT": "out.json", "TEXT": "a tale.txt"}
    arguments = [str(tmp_path / names[word]) if word in names else word for word in words.split()]
    for quiet in (False, True):
        result = ggtui(*arguments, *(["-q"] if quiet else []))
        assert result.code == 0, result.err
        loading = [drawn for drawn in bars.drawn if drawn[0].startswith("loading")]
        assert loading == [("loading king", AFTER)] * n
