"""The process that renders chat templates. A model file's template is a program of a stranger's: jinja2's sandbox keeps
it from the rest of Python, limits on this process keep it within bounds, and who started the process ends it when it
takes too long.

Knows nothing of ggtui, so that it starts quickly and has little that could be reached from a template.

Who wrote what: each string that stands in the template is a `Written`, which remembers which of its characters are the
template's own; all others are plain str. Joining, cutting and stripping keep that, and whatever loses it makes plain
text. So a message's words can never be taken for the template's, and a template sees its strings behave as ever.

Requests and answers are JSON with its length (4 bytes, little-endian) before it, over the socket that is file 0.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from string import Formatter
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.filters import do_join
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_eval_context

MOST_OUTPUT = 4 << 20  # bytes of UTF-8
MOST_MEMORY = 512 << 20  # bytes of addresses; some 40 million are used before a template comes
MOST_CPU_S = 3  # for one request, should nobody be there to end it earlier
_LONG = 1000  # characters of an error
# What Python and jinja2 import when they first need it, which is too late for a process that may open no file.
_LATER = ("encodings.unicode_escape", "html", "jinja2.constants", "jinja2.debug", "pprint", "textwrap", "unicodedata")

Spans = tuple[tuple[int, int], ...]  # from, to; in order, apart


# ---- strings that know who wrote them ----


class Written(str):
    """A string of which the characters in `_spans` stood in the template."""

    __slots__ = ("_spans",)
    _spans: Spans

    def __new__(cls, text: str = "", spans: Spans = ()) -> Written:
        self = super().__new__(cls, text)
        self._spans = spans
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: object) -> str:  # type: ignore[override]
        return concat((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: object) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __getitem__(self, at: Any) -> str:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return _part(self, start, max(start, stop)) if step == 1 else super().__getitem__(at)
        at = range(len(self))[at]
        return _part(self, at, at + 1)

    def __iter__(self) -> Iterator[str]:
        return (_part(self, at, at + 1) for at in range(len(self)))

    def lstrip(self, chars: str | None = None, /) -> str:
        return _part(self, len(self) - len(super().lstrip(chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> str:
        return _part(self, 0, len(super().rstrip(chars)))

    def strip(self, chars: str | None = None, /) -> str:
        start = len(self) - len(super().lstrip(chars))
        return _part(self, start, start + len(super().strip(chars)))

    def removeprefix(self, prefix: str, /) -> str:
        return _part(self, len(self) - len(super().removeprefix(prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        return _part(self, 0, len(super().removesuffix(suffix)))

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:  # type: ignore[override]
        return _parts(self, super().split(sep, maxsplit), len(sep or ""))

    def rsplit(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:  # type: ignore[override]
        return _parts(self, super().rsplit(sep, maxsplit), len(sep or ""))

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        a, b, c = _parts(self, super().partition(sep), 0)
        return a, b, c

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        a, b, c = _parts(self, super().rpartition(sep), 0)
        return a, b, c

    def replace(self, old: str, new: str, count: Any = -1, /) -> str:  # type: ignore[override]
        """What takes the place of a message's words is no more the template's than they were."""
        if not old:
            return super().replace(old, new, count)
        rest = super().split(old, count)
        out, at = [], 0
        for number, text in enumerate(rest):
            if number:
                out.append(new if _is_whole(_part(self, at, at + len(old))) else str.__str__(new))
                at += len(old)
            out.append(_part(self, at, at + len(text)))
            at += len(text)
        return concat(out)

    def join(self, texts: Iterable[str], /) -> str:
        out: list[str] = []
        for text in texts:
            if not isinstance(text, str):
                return super().join((*out, text))  # says what is wrong
            out += (self, text) if out else ("", text)
        return concat(out)

    def upper(self) -> str:
        return _cased(self, super().upper())

    def lower(self) -> str:
        return _cased(self, super().lower())

    def capitalize(self) -> str:
        return _cased(self, super().capitalize())

    def title(self) -> str:
        return _cased(self, super().title())


def written(text: str) -> str:
    """All of it the template's."""
    return Written(text, ((0, len(text)),)) if text else Written()


def spans_of(text: str) -> Spans:
    return text._spans if isinstance(text, Written) else ()


def concat(texts: Iterable[str]) -> str:
    texts = list(texts)
    spans: list[tuple[int, int]] = []
    at = 0
    for text in texts:
        for start, stop in spans_of(text):
            if spans and spans[-1][1] == at + start:
                spans[-1] = (spans[-1][0], at + stop)
            else:
                spans.append((at + start, at + stop))
        at += len(text)
    return Written("".join(texts), tuple(spans)) if spans else "".join(texts)


def _part(text: Written, start: int, stop: int) -> str:
    cut = ((max(a, start) - start, min(b, stop) - start) for a, b in text._spans if a < stop and b > start)
    return Written(str.__getitem__(text, slice(start, stop)), tuple(cut))


def _parts(text: Written, parts: Iterable[str], n_between: int) -> list[str]:
    out, at = [], 0
    for part in parts:
        start = text.find(part, at)
        out.append(_part(text, start, start + len(part)))
        at = start + len(part) + n_between
    return out


def _cased(text: Written, changed: str) -> str:
    return Written(changed, text._spans) if len(changed) == len(text) else changed


def _is_whole(text: str) -> bool:
    return spans_of(text) == ((0, len(text)),)


# ---- the environment, set as transformers' apply_chat_template sets it ----


class Refused(jinja2.TemplateError):
    """By the template itself."""


class _Generator(CodeGenerator):
    """Python for a template, in which the template's strings are Written."""

    def _source(self, value: Any) -> str:
        if type(value) is str:
            literals = self.environment.literals  # type: ignore[attr-defined]
            literals.append(written(value))
            return f"environment.literals[{len(literals) - 1}]"
        if type(value) is dict:
            return "{" + ", ".join(f"{self._source(k)}: {self._source(v)}" for k, v in value.items()) + "}"
        if type(value) is list:
            return "[" + ", ".join(map(self._source, value)) + "]"
        if type(value) is tuple:
            return "(" + "".join(f"{self._source(item)}, " for item in value) + ")"
        return str(value) if isinstance(value, float) else repr(value)

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        self.write(self._source(node.as_const(frame.eval_ctx)))

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super().visit_Concat(node, frame)
            return
        self.write("concat(map(str, (")
        for arg in node.nodes:
            self.visit(arg, frame)
            self.write(", ")
        self.write(")))")

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return self._source("".join(map(str, group)))


class _Generation(Extension):
    """{% generation %} .. {% endgeneration %} around what the model says: for training; here it shows its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Macro) -> str:
        return caller()


def _no_underscores(names: Iterable[object]) -> None:
    if any(isinstance(name, str) and name.startswith("_") for name in names):
        raise jinja2.exceptions.SecurityError("a name in a namespace begins with an underscore")


class _Namespace(Namespace):
    """Its attributes are what a template put there, which hides all methods, also ours."""

    def __init__(*args: Any, **values: Any) -> None:  # so that a value may be called self
        _no_underscores(dict(*args[1:], **values))
        Namespace.__init__(*args, **values)

    def __setitem__(self, name: str, value: Any) -> None:
        _no_underscores((name,))
        super().__setitem__(name, value)


class _Dict:
    """`dict` itself has methods that change any dict."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
        return dict(*args, **values)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Generator
    concat = staticmethod(concat)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.literals: list[str] = []
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"])
        self.filters.update(tojson=_tojson, join=_join)
        self.globals.update(raise_exception=_refuse, strftime_now=_now, namespace=_Namespace, dict=_Dict())

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        safe = super().wrap_str_format(value)
        text = getattr(value, "__self__", None)
        if safe is None or not isinstance(text, Written) or value.__name__ != "format":
            return safe

        def plain_fields(*args: Any, **values: Any) -> str:
            """'<{}>'.format('x') is the template's where both are; anything that is not as simple is plain text."""
            result = safe(*args, **values)
            out, at, n = [], 0, 0
            for before, name, spec, conversion in Formatter().parse(text):
                at = text.find(before, at) if before else at
                out.append(_part(text, at, at + len(before)))
                at += len(before)
                if name is None:
                    continue
                if name or spec or conversion or n >= len(args) or not isinstance(args[n], str):
                    return result
                out.append(args[n])
                n, at = n + 1, at + 2
            kept = concat(out)
            return kept if kept == result else result

        return plain_fields


def _refuse(message: object) -> None:
    raise Refused(str(message))


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@pass_eval_context
def _join(context: EvalContext, value: Any, d: str = Written(), attribute: str | int | None = None) -> str:
    return do_join(context, value, d, attribute)


@lru_cache(8)
def _compiled(text: str) -> jinja2.Template:
    """In an environment of its own: no template sees what another left behind."""
    return _Environment().from_string(text)


# ---- a request ----

_WORD = re.compile(r"\w[\w .-]*")  # by itself no control token


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """As a template is to see it: the role is the program's word, not the user's; reasoning has two names."""
    message = {name: value for name, value in message.items() if value is not None}
    role = message.get("role")
    if isinstance(role, str) and _WORD.fullmatch(role):
        message["role"] = written(role)
    for name in ("reasoning_content", "thinking", "reasoning"):
        if name in message:
            return {"thinking": message[name], **message, "reasoning_content": message[name]}
    return message


def _variable(name: str, value: Any) -> Any:
    own = isinstance(value, str) and (name.endswith("_token") or _WORD.fullmatch(value))
    return written(value) if own else value


def render(request: dict[str, Any]) -> dict[str, Any]:
    """What a template makes of messages: its text, and the spans of it that are the template's.

    request  template: text; messages: list of objects; variables: object
    """
    template = _compiled(request["template"])
    variables = {name: _variable(name, value) for name, value in request["variables"].items()}
    context = template.new_context({**variables, "messages": [_message(m) for m in request["messages"]]})
    parts, size = [], 0
    for part in template.root_render_func(context):
        size += len(part)
        if size > MOST_OUTPUT:
            break
        parts.append(part)
    whole = concat(parts)
    text = re.sub("[\ud800-\udfff]", "\ufffd", whole)  # halves of characters, which no encoding has
    if size > MOST_OUTPUT or len(text.encode()) > MOST_OUTPUT:
        return {"error": f"makes more than {MOST_OUTPUT >> 20} MB of text"}
    return {"text": text, "spans": spans_of(whole)}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What `render` says, or `error`: what went wrong; `refused`, if the template itself said so; `last`, if nothing
    more should be asked of this process."""
    try:
        return render(request)
    except Refused as error:
        return {"error": str(error)[:_LONG], "refused": True}
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {(error.message or '')[:_LONG]}"}
    except MemoryError:
        return {"error": f"needs more than {MOST_MEMORY >> 20} MB of memory", "last": True}
    except RecursionError:
        return {"error": "is nested too deeply, or calls itself without end", "last": True}
    except Exception as error:
        words = str(error)[:_LONG]
        kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
        return {"error": _where(request["template"], error) + kind + words}


def _where(text: str, error: Exception) -> str:
    """`line 3: `, as far as it is known."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f"line {_compiled(text).get_corresponding_lineno(line)}: "


# ---- the process ----


def _bound() -> None:
    """No more memory than that, no core dump, no file, not one byte on a disk."""
    time.localtime()  # reads the time zone while it may
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        with suppress(OSError, ValueError):  # there are systems without one or the other
            resource.setrlimit(what, (most, most))


def _bound_time() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + MOST_CPU_S, hard))


def _read(n: int) -> bytes:
    data = bytearray()
    while len(data) < n:
        if not (more := os.read(0, min(n - len(data), 1 << 20))):
            sys.exit()  # whoever asked is gone
        data += more
    return bytes(data)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _LATER:
        import_module(name)
    _bound()
    os.write(0, b"\n")
    while True:
        request = json.loads(_read(int.from_bytes(_read(4), "little")))
        _bound_time()
        data = json.dumps(answer(request), ensure_ascii=False).encode(errors="replace")
        data = len(data).to_bytes(4, "little") + data
        while data:
            data = data[os.write(0, data) :]
