"""JSON out of files that come from anywhere: one object at the top, no key twice, nothing that JSON does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.files.model_file import ModelFile


class _Refused(Exception):
    """What is wrong with a JSON text, where no position is known."""


def read_json(path: Path, most: int) -> dict[str, Any]:
    """The object a file of at most `most` bytes holds. Raises ModelFileError."""
    with ModelFile(path) as file:
        raw = file.head(most + 1)
        if len(raw) > most:
            file.refuse("file", f"is over the limit of {most} bytes for such a file")
        return parse_json(file, raw, "JSON")


def parse_json(file: ModelFile, raw: bytes, field: str, at: int = 0) -> dict[str, Any]:
    """The object in `raw`, which stands at byte `at` of the file. Raises ModelFileError."""
    try:
        text = raw.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if re.search(rb"\\u[dD]", raw):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        offset = at + len(text[: error.pos].encode())
        file.refuse(field, f"is not JSON: {error.msg}; it is damaged, download it again", offset)
    except UnicodeDecodeError as error:
        file.refuse(field, "is not valid UTF-8; it is damaged, download it again", at + error.start)
    except UnicodeEncodeError:
        file.refuse(field, "has half of a surrogate pair, which is no character", at)
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
