from __future__ import annotations

import io
import sys
import unicodedata
from pathlib import Path

import pytest

from ggtui.viz.text import asked_name, color_wanted, model_name, printable, printable_line, size, text_for


def test_no_control_character_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    for text, allowed in ((printable(everything), "\n\t"), (printable_line(everything), "")):
        left = {c for c in text if unicodedata.category(c) in ("Cc", "Cs")}
        assert left == set(allowed)
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\tc\x7f\x00", "a\\r\nb\tc\\x7f\\x00"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\udcff", r"\udcff"),
        ("ä € 日本 🙂 e\u0301", "ä € 日本 🙂 e\u0301"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert "".join(map(printable, text)) == shown, "piece by piece it is the same"


def test_printable_line() -> None:
    assert printable_line("a\nb\tc\u2028d") == r"a\nb\tc\u2028d"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_is_escaped_for_terminals_alone() -> None:
    assert text_for(Terminal(), "\x1b[2J\r\n") == "\\x1b[2J\\r\n"
    assert text_for(io.StringIO(), "\x1b[2J\r\n") == "\x1b[2J\r\n"


def test_color_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert color_wanted(Terminal()) and not color_wanted(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not color_wanted(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not color_wanted(Terminal())


def test_size() -> None:
    assert size(0) == "0 bytes"
    assert size(1023) == "1,023 bytes"
    assert size(3_981_312) == "3,981,312 bytes (3.8 MiB)"
    assert size(5 << 30) == "5,368,709,120 bytes (5.0 GiB)"


def test_names_of_models_are_without_what_a_file_ends_with() -> None:
    names = ("a.gguf", "b.bin", "Qwen2.5-0.5B", "c.q4_0.gguf", "x\x1b.gguf")
    assert [model_name(name) for name in names] == ["a", "b", "Qwen2.5-0.5B", "c.q4_0", "x\\x1b"]


def test_names_of_models_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("/a/king.gguf", "smollm2", "a folder/", ".", "hf:USER/REPO:q4_0", "x\x1b", None)
    names = ["king", "smollm2", "a folder", tmp_path.name, "REPO:q4_0", "x\\x1b", "the built-in model"]
    assert list(map(asked_name, asked)) == names
