"""Loads the model of a command, with a bar on stderr where that takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.files import ModelFile

AFTER = 0.5  # seconds


def load(model: str | ModelFile | None, *, quiet: bool, **options: Any) -> Session:
    """As session.load, which says what the options are. `quiet`: without a bar, as within another one."""
    from ggtui.core.engine import session
    from ggtui.viz.progress import progress_bar
    from ggtui.viz.text import asked_name, model_name

    name = asked_name(model) if model is None or isinstance(model, str) else model_name(model.path.name)
    with progress_bar(f"loading {name}", quiet=quiet, after=AFTER) as progress:
        return session.load(model, progress=progress, **options)
