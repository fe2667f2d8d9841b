"""jinja2 as transformers' apply_chat_template sets it, with strings that know who wrote them (written.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
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

from .written import Written, concat, part, written


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


class Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Generator
    concat = staticmethod(concat)

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
                out.append(part(text, at, at + len(before)))
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
    raise Refused(str(message) or "refuses the messages, and does not say why")


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
    return str(do_join(context, value, d, attribute))


@lru_cache(8)
def compiled(text: str) -> jinja2.Template:
    """In an environment of its own: no template sees what another left behind."""
    return Environment().from_string(text)
