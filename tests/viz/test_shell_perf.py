"""What /perf and /trace do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggtui import perf
from ggtui.chat.conversation import Chat
from ggtui.core.errors import UsageError
from ggtui.viz.shell_perf import Profile


@pytest.fixture
def profile(chat: Chat) -> Profile:
    """Of a session that has said something while it was recorded."""
    made = Profile(chat.session)
    assert made.record(True) == "Node times are recorded; /perf shows them."
    for step in chat.say("Once upon a time"):
        made.take(step)
    return made


def test_off_records_nothing(chat: Chat) -> None:
    profile = Profile(chat.session)
    for step in chat.say("Once upon a time"):
        profile.take(step)
    with pytest.raises(UsageError, match="/perf on"):
        list(profile.tables(10))


def test_the_table_has_as_many_lines_as_asked_for(profile: Profile) -> None:
    text = "\n".join(profile.tables(3))
    assert "generation: 7 evaluations" in text and "prompt: 1 evaluations" in text
    assert text.count(" more ") == 2 and "profiler overhead" in text
    assert max(map(len, text.split("\n\n")[0].splitlines())) < 80


def test_saving(profile: Profile, tmp_path: Path) -> None:
    assert profile.save(f"{tmp_path / 'run.json'}").startswith("Saved")
    assert len(perf.load(tmp_path / "run.json").tokens) == 8


def test_drawing(profile: Profile, tmp_path: Path) -> None:
    assert profile.draw(str(tmp_path / "graph.dot")).startswith("Drawn")
    assert "blk.0.ffn_up" in (tmp_path / "graph.dot").read_text()


def test_files_need_names(profile: Profile) -> None:
    for write in (profile.draw, profile.save):
        with pytest.raises(UsageError, match="name a file"):
            write("")


def test_off_again(profile: Profile, chat: Chat) -> None:
    profile.record(False)
    assert not chat.session.recording
