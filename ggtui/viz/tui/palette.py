"""What the keys of a screen do, in the palette."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.actions import parse
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from ggtui.viz.tui.help import key_name


class ScreenKeys(Provider):
    """The screen's keys that have a tooltip and do something now, by what it says."""

    def _rows(self) -> Iterator[tuple[str, str, partial[Any]]]:
        screen = self.screen
        for binding in type(screen).BINDINGS:
            if not isinstance(binding, Binding) or not binding.tooltip or binding.action.startswith("app."):
                continue
            _, name, parameters = parse(binding.action)
            if screen.check_action(name, parameters) is not False:
                what = binding.tooltip[0].upper() + binding.tooltip[1:]
                keys = " ".join(key_name(key) for key in binding.key.split(","))
                yield what, keys, partial(screen.run_action, binding.action)

    async def discover(self) -> Hits:
        for what, key, run in self._rows():
            yield DiscoveryHit(what, run, help=key)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for what, key, run in self._rows():
            if (score := matcher.match(what)) > 0:
                yield Hit(score, matcher.highlight(what), run, help=key)
