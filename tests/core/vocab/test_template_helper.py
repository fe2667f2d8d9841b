"""The process that renders chat templates: kept, killed, started anew, and gone with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from processes import alive

from ggtui.core.engine.model import BUILT_IN, Model
from ggtui.core.errors import MissingPartError, TemplateError
from ggtui.core.files import open_model
from ggtui.core.vocab import TEMPLATE, template_helper
from ggtui.core.vocab.template import Template
from ggtui.core.vocab.template_helper import HELPER, Helper

TIME = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 9**(9**9) }}",
    "{{ lipsum(n=10**8) }}",
    "{{ a" + ".a" * 400000 + " }}",
]


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Helper]:
    """One of our own, with little patience."""
    helper = Helper()
    monkeypatch.setattr("ggtui.core.vocab.template.HELPER", helper)
    yield helper
    helper.stop()


@pytest.mark.parametrize("text", TIME)
def test_time_is_bounded(text: str, helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    Template("warm").render([])
    monkeypatch.setattr(template_helper, "LIMIT_S", 0.3)
    with pytest.raises(TemplateError, match=r"takes longer than 0.3 s"):
        Template(text).render([])
    monkeypatch.undo()
    assert Template("ok").render([]) == "ok"


def test_it_is_started_ahead_of_the_first_question(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    helper.prepare()
    first = helper._process
    assert first is not None and not helper._ready
    helper.prepare()
    assert helper._process is first and Template("ok").render([]) == "ok" and helper._process is first
    helper.stop()
    helper.prepare()
    assert helper._process is not None
    helper._process.kill()  # before anybody asked
    assert Template("ok").render([]) == "ok"
    helper.stop()
    monkeypatch.setattr(template_helper, "_LIBRARIES", ("no_such_library",))
    helper.prepare()
    with pytest.raises(MissingPartError, match="need jinja2"):
        Template("ok").render([])


def test_a_model_that_talks_gets_it_ready(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_helper, "HELPER", helper)
    with open_model(BUILT_IN) as file:
        Model(file, threads=1, talk=True)  # it has no template
        assert helper._process is None
        file.metadata = {**file.metadata, TEMPLATE: "{{ messages }}"}
        Model(file, threads=1)
        assert helper._process is None
        Model(file, threads=1, talk=True)
        assert helper._process is not None


def test_it_is_kept_and_started_anew(helper: Helper) -> None:
    assert helper._process is None
    Template("").render([])
    first = helper._process
    assert first is not None and os.getsid(first.pid) == first.pid
    os.kill(first.pid, signal.SIGINT)  # Ctrl+C is not for it
    Template("").render([])
    assert helper._process is first
    first.kill()
    assert Template("{{ messages|length }}").render([{}, {}]) == "2"
    assert helper._process is not first


def test_what_earlier_templates_left_is_not_held_against_a_later_one(
    helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    Template("").render([])
    full, exchange = helper._process, helper._exchange

    def answer(data: bytes, end: float) -> dict[str, Any]:
        return {"error": "no memory", "last": True} if helper._process is full else exchange(data, end)

    monkeypatch.setattr(helper, "_exchange", answer)
    assert Template("ok").render([]) == "ok"
    helper.stop()
    monkeypatch.setattr(helper, "_exchange", lambda data, end: {"error": "no memory", "last": True})
    with pytest.raises(TemplateError, match="no memory"):
        Template("ok").render([])


def test_an_interrupted_request(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    Template("").render([])

    def interrupt(n: int, end: float) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(helper, "_receive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Template("one").render([])
    monkeypatch.undo()
    assert Template("two").render([]) == "two"


def test_threads() -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        found[number] = "".join(Template(f"{number}{{{{ messages[0].content }}}},").render([{"content": str(i)}])
                                for i in range(20))  # fmt: skip

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: "".join(f"{number}{i}," for i in range(20)) for number in range(8)}


def test_a_child_starts_its_own() -> None:
    Template("").render([])
    assert HELPER._process is not None
    pid = HELPER._process.pid

    def child(queue: Any) -> None:
        queue.put((Template("child").render([]), HELPER._process.pid if HELPER._process else 0))

    context: Any = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    text, other = queue.get()
    process.join()
    assert text == "child" and other != pid and process.exitcode == 0
    assert Template("parent").render([]) == "parent" and HELPER._process.pid == pid


# While a child that it forked lives on.
_KILLED = """
if os.fork() == 0:
    os.close(1)
    os.close(2)
    time.sleep(20)
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.bare
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_it_ends_with_its_parent(how: str) -> None:
    code = (
        "import os, signal, time\n"
        "from ggtui.core.vocab.template import Template\n"
        "from ggtui.core.vocab.template_helper import HELPER\n"
        "Template('').render([])\n"
        "print(HELPER._process.pid, flush=True)\n" + (_KILLED if how == "kill" else "")
    )
    done = subprocess.run((sys.executable, "-W", "error", "-c", code), capture_output=True, text=True, timeout=60)
    assert not done.stderr
    pid, end = int(done.stdout), time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_cannot_be_started(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(MissingPartError, match="does not start"):
        Template("").render([])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MissingPartError, match="does not start"):
        Template("").render([])
    monkeypatch.setattr(template_helper, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match="pip install jinja2"):
        Template("").render([])
