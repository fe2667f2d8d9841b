"""Many threads on one engine: open, submit, read, look, fork, rewind, stop, close at random. Nothing is lost, nothing
mixed.

GGTUI_STRESS_SECONDS is for how long; a second by default.
"""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from grouped import engine, text

from ggtui.core.engine.batch import Piece
from ggtui.core.engine.looking import Looker
from ggtui.core.engine.memory import Sequence
from ggtui.core.errors import ContextFullError, GgtuiError, UsageError

SECONDS = float(os.environ.get("GGTUI_STRESS_SECONDS", "1"))
N_CTX, N_COMMON, N_TEXTS, N_THREADS = 300, 100, 3, 4  # of every text the first N_COMMON tokens are the same


@pytest.mark.pool
@pytest.mark.timeout(SECONDS + 110)
def test_four_threads_on_one_engine() -> None:
    e = engine(ctx=N_CTX, batch=48, n_sequences=10, threads=2)
    texts = [text(N_COMMON, 9) + text(N_CTX - N_COMMON, seed) for seed in range(N_TEXTS)]
    alone = []  # the logits of each text's tokens
    for tokens in texts:
        sequence = e.open()
        alone.append(np.stack([e.read(sequence, [t])[0].copy() for t in tokens]))
        sequence.close()
    for _ in range(38):  # there are few left, so that sequences are full now and then
        e.memory.take(0)
    n_free = [e.memory.n_free(g) for g in range(2)]
    problems: list[str] = []
    counts = dict.fromkeys(("read", "look", "submit", "fork", "rewind", "close", "stop", "full"), 0)
    end = time.monotonic() + SECONDS

    def submit(rng: np.random.Generator, which: int) -> None:
        """A generation that is read to its end, closed before, or dropped."""
        n = int(rng.integers(1, N_CTX))
        generation = e.submit(texts[which][:n], 4, temp=0.0)
        if next(generation).token != int(alone[which][n - 1].argmax()):
            problems.append(f"after {n} of text {which} another token is the likeliest than alone")
        how = rng.choice(["end", "close", "drop"])
        if how == "end":
            list(generation)
        elif how == "close":
            generation.close()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        looker = Looker(e, [])
        mine: list[tuple[Sequence, int]] = []
        while not problems and time.monotonic() < (end if all(counts.values()) else end + 60):
            what = rng.choice(["open", *["read"] * 4, "look", "submit", "fork", "rewind", "close", "stop"])
            try:
                if what == "open" or not mine:
                    mine.append((e.open(), int(rng.integers(N_TEXTS))))
                    continue
                sequence, which = mine[rng.integers(len(mine))]
                if what == "read":
                    n = min(int(rng.integers(1, 40)), N_CTX - sequence.n_past)
                    if n:
                        at = sequence.n_past + n
                        logits, _ = e.read(sequence, texts[which][sequence.n_past : at])
                        if not np.array_equal(logits, alone[which][at - 1]):
                            problems.append(f"text {which} at {at} is not as alone")
                elif what == "look" and sequence.n_past:
                    found = looker.at(sequence, sequence.n_past - 1)
                    if not np.array_equal(found.logits, alone[which][sequence.n_past - 1]):
                        problems.append(f"text {which} at {sequence.n_past} looks other than alone")
                elif what == "submit":
                    submit(rng, which)
                elif what == "fork":
                    other = sequence.fork()
                    mine.append((other, which if other.n_past > N_COMMON else int(rng.integers(N_TEXTS))))
                elif what == "rewind":
                    e.rewind(sequence, int(rng.integers(sequence.n_past + 1)))
                elif what == "close":
                    sequence.close()
                    mine.remove((sequence, which))
                elif what == "stop":
                    e.stop()
                counts[what] += 1
            except ContextFullError:
                counts["full"] += 1
                mine.pop()[0].close()
            except UsageError as error:
                if "a window has passed" in str(error):  # what the last token saw, after a rewind
                    continue
                if "sequences already" not in str(error):
                    problems.append(str(error))
                elif mine:
                    mine.pop()[0].close()
            except GgtuiError as error:
                if "stopped" not in str(error):
                    problems.append(str(error))
        for sequence, _ in mine:
            sequence.close()

    def guarded(seed: int) -> None:
        try:
            work(seed)
        except BaseException as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    e.open().close()  # so that what was dropped is given back
    assert [e.memory.n_free(g) for g in range(2)] == n_free, "a page was lost"
    assert all(counts.values()), counts
    one = e.open()
    e.step([Piece(one, texts[0][:40])])
