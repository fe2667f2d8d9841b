from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from ggtui.chat import settings
from ggtui.chat.modes import MODES
from ggtui.chat.settings import GENERATION, LIVE, LOADING, SETTINGS, live_value, nearest, values_of
from ggtui.core.engine import engine, generation, sampler
from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.models.store import KV_TYPES
from ggtui.core.runtime.cpu.native import ISAS
from ggtui.core.runtime.cpu.pool import MAX_THREADS


def test_the_table_says_what_the_runtime_says() -> None:
    assert (settings.MAX_THREADS, settings.MAX_BATCH, settings.MAX_SEED) == (
        MAX_THREADS,
        engine.MAX_BATCH,
        sampler.MAX_SEED,
    )
    assert SETTINGS["kv-type"].choices == KV_TYPES
    assert SETTINGS["isa"].choices == ISAS
    assert SETTINGS["mode"].choices == tuple(MODES)


def test_defaults_are_those_of_the_api() -> None:
    known = {
        parameter.name: parameter.default
        for function in (engine.Engine.__init__, Session.__init__, Session.generate, sampler.SamplerParams)
        for parameter in inspect.signature(function).parameters.values()
    }
    known |= {"stop": (), "ctx_shift": False, "ignore_eos": False}
    for name in (*LOADING, *GENERATION, "seed"):
        assert known[SETTINGS[name].key] == SETTINGS[name].default, name
    assert {SETTINGS[name].key for name in (*GENERATION, "seed")} - {
        "n_predict"
    } <= generation.Options.__annotations__.keys()


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("temp", "0", 0.0),
        ("temp", 1, 1.0),
        ("top-k", "0", 0),
        ("top-p", "1", 1.0),
        ("seed", str((1 << 64) - 1), (1 << 64) - 1),
        ("ctx-shift", "Yes", True),
        ("ctx-shift", "off", False),
        ("ctx-shift", True, True),
        ("isa", "avx2", "avx2"),
        ("stop", " ", " "),
        ("n-predict", "-1", -1),
    ],
)
def test_parse(name: str, value: object, parsed: Any) -> None:
    result = SETTINGS[name].parse(value, "x")
    assert result == parsed and type(result) is type(parsed)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("temp", "", "x '': must be a number, 0 or more"),
        ("temp", "inf", "x inf: must be a number, 0 or more"),
        ("min-p", "1.01", "x 1.01: must be 0 to 1"),
        ("repeat-penalty", "0", "x 0: must be over 0"),
        ("top-k", "9" * 5000, "must be a whole number, 0 or more"),
        ("top-k", 10**400, "must be a whole number, 0 or more"),
        ("batch", "4097", "x 4097: must be 1 to 4096"),
        ("seed", str(1 << 64), "must be 0 to 18446744073709551615"),
        ("ctx-shift", "maybe", "x maybe: must be on or off"),
        ("temp", [1], "x [1]: must be a number, 0 or more"),
        ("model", "", "x '': must be a text of at least one character"),
    ],
)
def test_bad_values(name: str, value: object, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        SETTINGS[name].parse(value, "x")
    assert str(raised.value).endswith(problem)


def test_what_is_written_is_read_again() -> None:
    for setting in SETTINGS.values():
        if setting.default not in (None, "") and not setting.many:
            assert setting.parse(setting.text(setting.default), "x") == setting.default
    assert SETTINGS["seed"].text(None) == "automatic"
    assert SETTINGS["stop"].text(()) == "none"
    assert SETTINGS["stop"].text(("a", "\n")) == r"'a', '\n'"


def test_ranges_have_ends() -> None:
    for setting in SETTINGS.values():
        assert setting.low <= setting.high
        assert setting.high == math.inf or setting.kind in (int, float)


def test_values_of() -> None:
    class Given:
        top_k, min_p = 3, 0.5

    assert values_of(Given, ("top-k", "min-p")) == {"top_k": 3, "min_p": 0.5}


def test_nearest() -> None:
    assert nearest("tmep", SETTINGS) == "temp"
    assert nearest("xyzzy", SETTINGS) is None


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("temp", "0.5", 0.5),
        ("temp", "", 0.9),
        ("temp", "default", 0.9),
        ("seed", "automatic", None),
        ("seed", "7", 7),
        ("stop", "a b", ("a b",)),
        ("stop", r"'a', '\n'", ("a", "\n")),
        ("stop", "'a'", ("a",)),
        ("stop", "", ()),
        ("ctx-shift", "on", True),
        ("mode", "chat", "chat"),
    ],
)
def test_a_text_stands_for_a_value(name: str, words: str, value: object) -> None:
    assert live_value(name, words, name) == value


@pytest.mark.parametrize(
    ("name", "words", "error"),
    [
        ("temp", "hot", "temp hot: must be a number, 0 or more"),
        ("top-p", "1.5", "must be over 0 to 1"),
        ("stop", "'a", "a quote is missing"),
        ("stop", "'a', ''", "at least one character"),
        ("stop", "'a', 5", "at least one character"),
        ("isa", "avx2", "only at the start"),
        ("tmep", "5", "did you mean temp?"),
    ],
)
def test_what_stands_for_none_is_refused(name: str, words: str, error: str) -> None:
    with pytest.raises(UsageError, match=error.replace("?", r"\?")):
        live_value(name, words, name)


def test_every_live_setting_reads_what_it_shows() -> None:
    for name in LIVE:
        setting = SETTINGS[name]
        assert live_value(name, "" if setting.many else setting.text(setting.default), name) == setting.default
