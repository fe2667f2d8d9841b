"""JSON out of files that come from anywhere: one object at the top, no key twice, nothing that JSON does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.files.model_file import ModelFile

# How many a text may have, since what Python makes of a value takes up to a hundred bytes, and of a key two hundred. A
# vocabulary of 262,144 tokens with 515,000 merges has 1.9 million commas and opening brackets.
MAX_COLONS = 1 << 19
MAX_SEPARATORS = 1 << 21

_BOM = "\ufeff"

# All up to an escape that stands for half of a surrogate pair and is not followed, or was not led, by the other half.
_HALF = re.compile(r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+\\u", re.DOTALL)


class _Refused(Exception):
    """What is wrong with a JSON text, where no position is known."""


def _check_counts(text: str) -> None:
    for most, name, of in ((MAX_COLONS, "colons", ":"), (MAX_SEPARATORS, "commas and opening brackets", ",[{")):
        n = sum(map(text.count, of))
        if n > most:
            raise _Refused(f"has {n} {name}, over the limit of {most}")


def read_json(path: Path, most: int) -> dict[str, Any]:
    """The object a file of at most `most` bytes holds. Raises ModelFileError."""
    with ModelFile(path) as file:
        if file.size > most:
            file.refuse("file", f"is over the limit of {most} bytes for such a file")
        return parse_json(file, "JSON", 0, file.size)


def parse_json(file: ModelFile, field: str, at: int, n: int) -> dict[str, Any]:
    """The object in the `n` bytes from byte `at` of the file on, after a byte order mark if there is one. Raises
    ModelFileError."""
    try:
        text = str(file.read(at, n).data, "utf-8")
        if text.startswith(_BOM):
            text, at = text[1:], at + len(_BOM.encode())
        _check_counts(text)
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in text and _HALF.match(text):
            raise _Refused("has half of a surrogate pair, which is no character")
    except json.JSONDecodeError as error:
        offset = at + len(text[: error.pos].encode())
        file.refuse(field, f"is not JSON: {error.msg}; it is damaged, download it again", offset)
    except UnicodeDecodeError as error:
        file.refuse(field, "is not valid UTF-8; it is damaged, download it again", at + error.start)
    except RecursionError:
        file.refuse(field, "is nested too deeply", at)
    except _Refused as error:
        file.refuse(field, str(error), at)
    except ValueError:  # Python refuses to read numbers of thousands of digits
        file.refuse(field, "has a number of far too many digits", at)
    if not isinstance(value, dict):
        file.refuse(field, f"is a {type(value).__name__}, not an object", at)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"has the key {key!r} twice")
            seen.add(key)
    return result


def _constant(name: str) -> NoReturn:
    raise _Refused(f"has {name}, which is not JSON")
