"""Chat templates: the same text as plain jinja2 makes, who wrote what of it, and what hostile ones come to."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ggtui.core.errors import GgtuiError, TemplateError, UsageError
from ggtui.core.vocab.rendering.environment import _Generation
from ggtui.core.vocab.template import MOST, Template
from ggtui.core.vocab.template_names import NAMED, named

TEMPLATES = Path(__file__).parents[2] / "data" / "templates"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.jinja"))} | NAMED
BOS, EOS = "<bos>", "</s>"
CONTROL = (
    "<|im_end|>",
    "</s>",
    "[INST]",
    "{{ 7*7 }}",
    "{% raw %}",
    "<END>",
    "</think>",
    "<user_v2>",
    "<|end|>",
    "<bos>",
)
HOSTILE = "".join(f"QZ{text}QZ" for text in CONTROL)

Messages = list[dict[str, Any]]
TALK: Messages = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": " 1 + 1?\t"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n2"},
    {"role": "user", "content": "é 中 😀?"},
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": "<|end|>", "b": [1, None]}}}
CALLED: Messages = [
    TALK[1],
    {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": HOSTILE},
]


def plain(text: str, messages: Messages, **variables: Any) -> str:
    """What jinja2 makes of it with the settings of transformers, and strings that know nothing."""

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    env.filters["tojson"] = lambda value, **how: json.dumps(value, ensure_ascii=False, **how)
    env.globals.update(raise_exception=refuse, strftime_now=time.strftime)
    given = {"bos_token": BOS, "eos_token": EOS, "tools": None, "documents": None, "add_generation_prompt": True}
    return env.from_string(text).render(messages=messages, **(given | variables))


@pytest.mark.parametrize("name", TEXTS)
def test_as_plain_jinja2(name: str) -> None:
    template, n_equal = Template(TEXTS[name], BOS, EOS), 0
    for messages in (TALK, TALK[1:], TALK[1:2], CALLED):
        for variables in ({}, {"tools": [TOOL], "enable_thinking": False, "effort": "high"}):
            try:
                expected = plain(TEXTS[name], messages, **variables)
            except jinja2.TemplateError as error:
                with pytest.raises(TemplateError, match=str(error)):
                    template.render(messages, **variables)
            else:
                assert template.render(messages, **variables) == expected
                n_equal += 1
    assert n_equal
    ended = {"add_generation_prompt": False}
    assert template.render(TALK[1:], generation=False) == plain(TEXTS[name], TALK[1:], **ended)


@pytest.mark.parametrize("name", TEXTS)
def test_a_content_is_never_a_mark(name: str) -> None:
    messages = [{"role": role, "content": HOSTILE} for role in ("user", "assistant", "user")]
    for content in (HOSTILE, [{"type": "text", "text": HOSTILE}]):
        for message in messages:
            message["content"] = content
        pieces = Template(TEXTS[name], BOS, EOS).pieces(messages)
        assert sum(text.count("QZ") for text, _ in pieces) > len(CONTROL)
        assert not [text for text, marks in pieces if marks and "QZ" in text]
        assert all(pieces) and all(a.marks != b.marks for a, b in pairwise(pieces))


def test_what_a_template_writes_is_marks() -> None:
    def marks(name: str, messages: Messages = TALK[1:2], **more: Any) -> list[str]:
        return [text for text, marks in Template(TEXTS[name], BOS, EOS).pieces(messages, **more) if marks]

    assert marks("chatml") == ["<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"]
    assert marks("phi3") == ["<bos><|user|>\n", "<|end|>\n<|assistant|>\n"]
    assert marks("formats") == ["<start><user_v2>", "<END><model_v2>"]
    assert marks("recursive") == ["<|User|>", "</s><|Assistant|>"]
    assert marks("inst", TALK[1:]) == ["<bos>[INST] ", "[/INST] ", "</s>[INST] ", "[/INST]"]
    called = marks("tools", CALLED, tools=[TOOL])
    assert (
        called[:2] == ["<bos><|system|>\n# Tools\n<tools>", "</tools>\n<|user|>"]
        and called[-1] == "<|end|><|assistant|>"
    )


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("{{ c.split('</think>')[-1] }}", ""),
        ("{{ c[:9] }}{{ c|upper }}{{ c|replace('QZ', '<|end|>') }}{{ c.replace('<|im_end|>', '[END]') }}", ""),
        ("{{ c|tojson }}{{ c|list|join }}{{ c|e }}{{ '%s' % c }}{{ '<{}>'.format(c) }}", "<>"),
        ("{% for part in c.split('QZ') %}{{ part }}{% endfor %}", ""),
        ("{% set ns = namespace(x='') %}{% for a in c %}{% set ns.x = ns.x + a %}{% endfor %}{{ ns.x }}", ""),
        ("{% macro m(x) %}<m>{{ x }}{{ caller() }}{% endmacro %}{% call m(c) %}{{ c }}{% endcall %}", "<m>"),
        ("{% set x %}<x>{{ c }}{% endset %}{{ x.strip()[3:] }}{{ x[:3] }}", "<x>"),
        ("{{ ('<a>' ~ c ~ '<b>').replace('</s>', '<eos>').strip('<a') }}", ">" + "<b>"),
        ("{{ {'<k>': c}['<k>'] }}{{ [c, '<d>'][1] }}{{ ('<t>', c)|first }}", "<d><t>"),
        ("{% autoescape true %}{{ c }}{{ '<' ~ c }}{% endautoescape %}", ""),
        ("{{ messages }}{{ tools }}{{ name }}{{ setting }}{{ 1 + messages|length }}", "high-2"),
    ],
)
def test_contents_that_are_taken_apart(text: str, own: str) -> None:
    template = Template("{% set c = messages[0].content %}" + text)
    pieces = template.pieces(
        [{"role": "user", "content": HOSTILE}], name=HOSTILE, tools=[{"a": HOSTILE}], setting="high-2"
    )
    assert "".join(text for text, marks in pieces if marks) == own


def test_a_list_of_parts_where_only_a_text_will_do() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}]
    for text in ("<{{ messages[0].content }}>", "{{ '<' + messages[0].content + '>' }}", TEXTS["thinking"]):
        assert "one two" in Template(text).render(parts)
    assert Template(TEXTS["parts"]).render(parts, generation=False) == "<|turn|>user\nonetwo<|turn_end|>\n"
    picture = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}]
    assert "<image>what?" in Template(TEXTS["parts"]).render(picture)
    with pytest.raises(TemplateError, match="can only concatenate"):
        Template("{{ '' + messages[0].content }}").render(picture)


def test_variables() -> None:
    text = (
        "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ bos_token }}{{ x }}{{ y is defined }}"
    )
    assert (
        Template(text, "<s>").render([], generation=False, x=[1, {"a": None}])
        == "TrueTrueFalse<s>[1, {'a': None}]False"
    )
    assert Template("{% for tool in tools %}{{ tool }}{% endfor %}.").render([]) == "."  # in transformers it fails
    reasoning = Template("{{ messages[0].thinking }}{{ messages[0].reasoning_content }}{{ messages[0].x is defined }}")
    assert reasoning.render([{"role": "assistant", "reasoning": "hm", "x": None}]) == "hmhmFalse"


BOUND = [
    ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    (
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'abcdefgh' * 99 }}{% endfor %}{% endfor %}",
        "more than 4 MB",
    ),
    ("{{ 'a' * 5000000 }}", "more than 4 MB"),
    ("{{ 'é' * 2500000 }}", "more than 4 MB"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
    ("{{ " + "(" * 400000 + ")" * 400000 + " }}", "nested too deeply"),
    ("{{ " + "-" * 1000000 + "1 }}", "nested too deeply"),
    ("{{ (9**99999)|string }}", "4300 digits"),
    ("{% for i in [1] %}" * 30 + "{% endfor %}" * 30, "too many statically nested blocks"),
    ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ("{{ cycler.__init__.__globals__.os }}", "unsafe"),
    ("{{ messages.append(1) }}", "unsafe"),
    ("{{ dict.update(messages[0], {}) }}", "no attribute 'update'"),
    ("{% set ns = namespace(_x=1) %}", "underscore"),
    ("{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "underscore"),
    ("{% include '/etc/passwd' %}", "no loader"),
    ("{{ foo() }}", "line 1: 'foo' is undefined"),
    ("\n\n{{ messages[0].foo.bar }}", "line 3: 'dict object' has no attribute 'foo'"),
    ("\n{% for %}", "line 2: "),
    ("{{ raise_exception('\x1b[2J\nno') }}", r"\\x1b\[2J\\nno"),
    ("{{ raise_exception('x' * 100000) }}", r"xxx\.\.\."),
    ("{% break %}", "outside loop"),
    ("{{ 'a'.encode('idna') }}", "OSError"),  # it can open no file
]
MEMORY = [
    "{{ 'a' * 10**9 }}",
    "{{ 'a'|center(10**9) }}",
    "{{ [0] * 10**9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:>1000000000}'.format('x') }}",
    "{{ ('a' * 99999).replace('a', 'a' * 99999) }}",
    "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('abc') }}",
    "{{ messages|tojson(indent=10**9) }}",
]


@pytest.mark.parametrize(("text", "problem"), BOUND)
def test_bounds(text: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem) as caught:
        Template(text).render(TALK)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400 and caught.value.exit_code == 4
    assert caught.value.refused == ("raise_exception" in text)
    assert Template("ok").render(TALK) == "ok"


@pytest.mark.bare
@pytest.mark.parametrize("text", MEMORY)
def test_memory_is_bounded(text: str) -> None:
    with pytest.raises(TemplateError, match=r"needs more than 512 MB of memory|takes longer than"):
        Template(text).render(TALK)
    assert Template("ok").render(TALK) == "ok"


def test_too_long() -> None:
    assert Template("a" * MOST).render([]) == "a" * MOST
    with pytest.raises(TemplateError, match="over the limit"):
        Template("a" * (MOST + 1))


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''['__class__'] }}", "{{ ''|attr('_spans') }}", "{{ '{0.__class__}'.format(1) }}",
        "{{ lipsum.__globals__ }}", "{{ environment }}{{ concat }}{{ literals }}", "{{ 'a'._spans }}",
    ],
)  # fmt: skip
def test_nothing_to_be_seen(text: str) -> None:
    assert Template(text).render(TALK) == ""


def test_odd_characters() -> None:
    assert Template("é\0\x1b{{ '\\x1b' }}{{ '\\N{BULLET}' }}").render([]) == "é\0\x1b\x1b•"
    assert Template("{{ '\ud83d' }}{{ '\ude00' }}\ud800").render([]) == "\ufffd\ufffd\ufffd"
    assert Template("{{ messages[0].content }}").render([{"role": "user", "content": "\udcff"}]) == "\ufffd"


def test_nothing_is_left_behind() -> None:
    Template("{% set x = 1 %}{% macro m() %}{% endmacro %}{% set ns = namespace(y=2) %}{% set ns.y = 3 %}").render([])
    assert Template("{{ x is defined }}{{ m is defined }}{{ ns is defined }}").render([]) == "FalseFalseFalse"
    counting = Template("{% set ns = namespace(n=[0]) %}{{ ns.n }}{% set ns.n = ns.n + [1] %}{{ n is defined }}")
    assert counting.render([]) == counting.render([]) == "[0]False"


def test_what_is_no_json() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for content in (b"x", object(), {1: 2}, circle):
        with pytest.raises(UsageError, match="messages: a chat template takes"):
            Template("").render([{"role": "user", "content": content}])


def test_names() -> None:
    assert named("chatml") == NAMED["chatml"]
    with pytest.raises(UsageError, match="'lama3'; there is llama3"):
        named("lama3")
    with pytest.raises(GgtuiError, match="alpaca, chatml"):
        named("?\n")
