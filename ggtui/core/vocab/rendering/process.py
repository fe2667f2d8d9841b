"""The process that renders chat templates. A model file's template is a program of a stranger's: jinja2's sandbox keeps
it from the rest of Python, limits on this process keep it within bounds, and who started the process ends it when it
takes too long.

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
from contextlib import suppress
from importlib import import_module
from typing import Any

import jinja2

from .environment import Refused, compiled
from .written import concat, spans_of, written

MOST_OUTPUT = 4 << 20  # bytes of UTF-8
MOST_MEMORY = 512 << 20  # bytes of addresses; some 40 million are used before a template comes
MOST_CPU_S = 3  # for one request, should nobody be there to end it earlier
_LONG = 1000  # characters of an error
# What Python and jinja2 import when they first need it, which is too late for a process that may open no file.
_LATER = ("encodings.unicode_escape", "html", "jinja2.constants", "jinja2.debug", "pprint", "textwrap", "unicodedata")

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
    template = compiled(request["template"])
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
    more should be asked of this process.

    What a template cannot do with a list of parts it may with their text, and what it cannot do where tools are None,
    as in transformers, it may where there is no such name.
    """
    first = _answer(request)
    if "last" in first or ("text" in first and _shows_parts(first["text"], request["messages"])):
        return first
    joined = {**request, "messages": list(map(_joined, request["messages"]))}
    without = {name: value for name, value in request["variables"].items() if value is not None}
    for other in (joined, {**joined, "variables": without}):
        if other != request and "text" in (again := _answer(other)):
            return again
    return first


def _is_parts(content: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    )


def _joined(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list) or not _is_parts(content):
        return message
    return {**message, "content": "".join(part["text"] for part in content)}


def _shows_parts(text: str, messages: list[dict[str, Any]]) -> bool:
    """Whether a template knew what to do with lists of parts: none stands there as Python shows it, and the user's last
    words are there."""
    contents = [(m.get("role"), m["content"]) for m in messages if _is_parts(m.get("content"))]
    if any(str(part) in text for _, content in contents for part in content):
        return False
    last = next((content for role, content in reversed(contents) if role == "user"), ())
    return all(part["text"].strip() in text for part in last)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
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
        words = str(error.msg if isinstance(error, SyntaxError) else error)[:_LONG]
        kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
        return {"error": _where(request["template"], error) + kind + words}


def _where(text: str, error: Exception) -> str:
    """`line 3: `, as far as it is known."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f"line {compiled(text).get_corresponding_lineno(line)}: "


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
