"""The settings of the answers to come."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus, Resize
from textual.widgets import Input, Static

from ggtui.chat.settings import ANEW, LIVE, SETTINGS, Setting, live_value
from ggtui.core.errors import UsageError
from ggtui.viz.messages import Configure
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import LoadAnew
from ggtui.viz.tui.dialogs.base import Dialog


def shown(setting: Setting, value: object) -> str:
    """A value as its field has it; "" for none."""
    return "" if value is None or value == () else printable_line(setting.text(value))


class Settings(Dialog):
    """A field for each. What is entered counts when the field is left; what is wrong stays there to be corrected."""

    TITLE_TEXT = "Settings for the answers to come"
    KEYS = "arrows: field  Enter: take  empty: default  Esc: close"
    DEFAULT_CSS = """
    Settings .fields { height: auto; overflow-y: auto; scrollbar-size-vertical: 1; }
    Settings Horizontal { height: 1; }
    Settings .name { width: 17; }
    Settings Input { width: 24; background: $surface; }
    Settings Input:focus { background: $surface; text-style: none; }
    Settings .wanted { width: 1fr; height: 1; padding-left: 2; text-wrap: nowrap; color: $secondary; }
    Settings .error { height: auto; padding-left: 2; color: $error; display: none; }
    Settings .error.-shown { display: block; }
    Settings .help { height: 2; margin-top: 1; color: $secondary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def content(self) -> ComposeResult:
        with Vertical(classes="fields"):
            for name in (*LIVE, *ANEW):
                setting = SETTINGS[name]
                with Horizontal():
                    yield Static(f"  {name}", classes="name", id=f"name-{name}", markup=False)
                    value = shown(setting, self._value(name))
                    yield Input(value, id=name, compact=True, placeholder=setting.text(setting.default))
                    wanted = "'one', 'two'" if setting.many else setting.wanted
                    yield Static(wanted, classes="wanted", markup=False)
                yield Static("", classes="error", id=f"error-{name}", markup=False)
        yield Static("", classes="help", markup=False)

    def on_resize(self, event: Resize) -> None:
        self.query_one(".fields").styles.max_height = max(event.size.height - 9, 3)
        self.call_after_refresh(self._see)

    def _see(self) -> None:
        """The field that has the focus, also where there is less room now."""
        if self.focused is not None:
            self.focused.scroll_visible(animate=False)

    def _value(self, name: str) -> object:
        setting = SETTINGS[name]
        return (self.live.started if setting.anew else self.live.settings).get(setting.key, setting.default)

    def follow(self) -> None:
        for field in self.query(Input):
            setting = SETTINGS[str(field.id)]
            if not field.has_focus and not self._error(setting.name).has_class("-shown"):
                field.value = shown(setting, self._value(setting.name))

    def _error(self, name: str) -> Static:
        return self.query_one(f"#error-{name}", Static)

    def _say(self, name: str, error: str) -> None:
        line = self._error(name)
        line.update(f"! {printable_line(error)}" if error else "")
        line.set_class(bool(error), "-shown")

    def _take(self, field: Input) -> None:
        name, text = str(field.id), field.value.strip()
        if text == shown(SETTINGS[name], self._value(name)):  # which may have less digits than the value
            self._say(name, "")
            return
        try:
            value = live_value(name, text, name)
        except UsageError as error:
            self._say(name, str(error))
            return
        self._say(name, "")
        if value == self._value(name):
            return
        if SETTINGS[name].anew:
            self.live.started = {**self.live.started, SETTINGS[name].key: value}  # so that it is asked for once
            self.post_message(LoadAnew({SETTINGS[name].key: value}))
        else:
            self.send(Configure({SETTINGS[name].key: value}))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._take(event.input)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if isinstance(event.widget, Input):
            name = str(event.widget.id)
            self.query_one(f"#name-{name}", Static).update(f"> {name}")
            anew = "; changed, the model is loaded anew" if SETTINGS[name].anew else ""
            self.query_one(".help", Static).update(SETTINGS[name].help + anew)

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        if isinstance(event.widget, Input):
            name = str(event.widget.id)
            self.query_one(f"#name-{name}", Static).update(f"  {name}")
            self._take(event.widget)
