"""What is in a model file: metadata, tensors, and where the bytes go.

Long lists of the metadata are cut: --json gives their length and first values.

--check also reads every block, and ends with exit code 4 if one holds a weight that is NaN or infinite, or a scale
that makes it so, or if ggtui does not run the model. --token-test takes cases as llama.cpp keeps them: FILE has texts
between lines of __ggml_vocab_test__, and the file beside it that ends in .out the tokens of each, one line a text; a
difference ends with exit code 1. --tokens shows how a text splits into tokens.

examples:
  ggtui inspect model.gguf                             as text
  ggtui inspect model.gguf --json | jq .types          as data
  ggtui inspect model.gguf --check                     is it sound?
  ggtui inspect model.gguf --token-test cases.inp      with cases.out
  ggtui inspect model.gguf --tokens "Hello, world"     how does it split?
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggtui.cli.flags import FILE, add_model, add_output, add_setting, resolve
from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.reading import read_file
from ggtui.viz.text import bytes_shown, printable_line, size

if TYPE_CHECKING:
    from ggtui.core.files import ModelFile

_CUT = 6  # values of a list that are shown
_TEXT = 60  # characters of a text that are shown
_SEPARATOR = "\n__ggml_vocab_test__\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument("--check", action="store_true", help="read every block; exit code 4 for bad weights")
    test = parser.add_argument("--token-test", metavar="FILE", help="check the tokenizer against the cases of a file")
    test.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument("--tokens", metavar="TEXT", help="show how a text splits into tokens")
    add_setting(parser, "pre")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("model", "pre"))
    from ggtui.core.engine.model import BUILT_IN
    from ggtui.core.files import open_model

    with open_model(BUILT_IN if args.model is None else args.model) as file:
        if args.token_test is not None:
            return _token_test(file, Path(args.token_test), args.pre)
        if args.tokens is not None:
            return _tokens(file, args.tokens, args.pre, as_json=args.json)
        facts = gather(file)
        if args.json:
            print(json.dumps(facts, indent=1))
        else:
            print(*map(printable_line, _lines(facts)), sep="\n")
        if args.check:
            _check(file, args.pre, quiet=args.quiet)
    return 0


def gather(file: ModelFile) -> dict[str, Any]:
    """The facts by name. Sizes are bytes; a list of the metadata with many values is its length and the first ones."""
    from ggtui.core.files import READERS

    total = sum(info.n_bytes for info in file.tensors.values())
    n_weights = sum(prod(info.ne) for info in file.tensors.values())
    tensors, types, layers = [], defaultdict[str, int](int), defaultdict[str, int](int)
    for info in file.tensors.values():
        n_dims = max((i + 1 for i, n in enumerate(info.ne) if n > 1), default=1)
        share = info.n_bytes / total
        row = {"name": info.name, "ne": list(info.ne[:n_dims]), "type": info.type.name, "offset": info.offset}
        tensors.append({**row, "bytes": info.n_bytes, "share": share})
        types[info.type.name] += info.n_bytes
        layers[_layer(info.name)] += info.n_bytes
    return {
        "path": str(file.path),
        "format": next(reader.name for reader in READERS if reader.opened(file)),
        "metadata": {key: _cut(value) for key, value in file.metadata.items()},
        "tensors": tensors,
        "types": dict(types),
        "layers": dict(layers),
        "bytes": total,
        "weights": n_weights,
        "notes": list(file.notes),
        "bits_per_weight": 8 * total / n_weights if n_weights else 0.0,
    }


def _layer(name: str) -> str:
    """Where in the model a tensor belongs: its layer, or its own name."""
    match = re.match(r"blk\.\d+", name)
    return match[0] if match else name.removesuffix(".weight").removesuffix(".bias")


def _cut(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    first = value[:_CUT] if isinstance(value, Sequence) else value[:_CUT].tolist()  # else of numpy
    return {"length": len(value), "first": first} if len(value) > _CUT else first


# ---- as text ----


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['path']}: {facts['format']}"
    weights = f"{facts['weights']:,} weights in {size(facts['bytes'])}, {facts['bits_per_weight']:.2f} bits each"
    yield f"{len(facts['tensors'])} tensors, {weights}"
    yield from (f"note: {line}" for line in facts["notes"])
    yield from _metadata(facts["metadata"])
    if not facts["tensors"]:
        return
    yield ""
    yield from _tensors(facts["tensors"])
    for title in ("types", "layers"):
        yield from ("", f"bytes by {title[:-1]}")
        width = max(map(len, facts[title]))
        for name, n_bytes in facts[title].items():
            yield f"  {name:{width}}  {n_bytes:14,}  {n_bytes / facts['bytes']:6.1%}"


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    yield from ("", "metadata")
    width = max(map(len, metadata), default=0)
    for key, value in metadata.items():
        yield f"  {key:{width}}  {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['length']:,} values: {', '.join(map(_shown, value['first']))}, ..."
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, str):
        return json.dumps(value if len(value) <= _TEXT else value[:_TEXT] + "...", ensure_ascii=False)
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _tensors(tensors: list[dict[str, Any]]) -> Iterator[str]:
    shapes = [" x ".join(map(str, t["ne"])) for t in tensors]
    name_width, shape_width = max(len(t["name"]) for t in tensors), max(map(len, shapes))
    yield f"{'tensor':{name_width}}  {'shape':{shape_width}}  {'type':6}  {'bytes':>14}  {'share':>6}"
    for t, shape in zip(tensors, shapes, strict=True):
        yield f"{t['name']:{name_width}}  {shape:{shape_width}}  {t['type']:6}  {t['bytes']:14,}  {t['share']:6.1%}"


# ---- checks ----


def _check(file: ModelFile, pre: str | None, *, quiet: bool) -> None:
    from ggtui.core.files.check import bad_blocks
    from ggtui.core.models import check_model
    from ggtui.core.vocab import vocabulary
    from ggtui.viz.progress import progress_bar

    check_model(file)
    vocabulary(file.metadata, file.path, pre)
    with progress_bar("reading every block", quiet=quiet) as progress:
        found = bad_blocks(file, progress)
    if found:
        more = f"; so have {len(found) - 1} more tensors" if len(found) > 1 else ""
        bad = found[0]
        problem = f"block {bad.block} ({bad.type}): element {bad.i} of row {bad.row} is {bad.value}{more}"
        at = file.tensors[bad.tensor].offset
        raise ModelFileError(file.path, bad.tensor, f"{problem}; download or convert it again", at)


def _tokens(file: ModelFile, text: str, pre: str | None, *, as_json: bool) -> int:
    from ggtui.core.vocab import vocabulary

    tokenizer = vocabulary(file.metadata, file.path, pre)
    ids = tokenizer.begin(text)
    if as_json:
        told = [{"token": id, "text": tokenizer.decode([id])} for id in ids]
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    width = max(len(str(id)) for id in ids)
    for id in ids:
        print(printable_line(f"{id:{width}}  {bytes_shown(tokenizer.token_bytes(id))}"))
    print(f"{len(ids)} of {tokenizer.n_vocab:,} tokens, {len(text.encode()) / len(ids):.1f} bytes each")
    return 0


def _token_test(file: ModelFile, path: Path, pre: str | None) -> int:
    from ggtui.core.vocab import vocabulary

    tokenizer = vocabulary(file.metadata, file.path, pre)
    cases, wrong = list(_cases(path)), 0
    for text, wanted in cases:
        got = tokenizer.encode(text)
        if got != wanted:
            wrong += 1
            print(printable_line(f"{text!r}: tokens {got}, not {wanted}"))
    print(f"{len(cases) - wrong} of {len(cases)} texts give the listed tokens")
    if wrong:
        raise GgtuiError(f"{file.path}: --token-test {path}: {wrong} of {len(cases)} texts give other tokens")
    return 0


def _cases(path: Path) -> Iterator[tuple[str, list[int]]]:
    """The texts and the tokens that are listed for them."""
    answers = path.with_suffix(".out")
    try:
        texts = read_file(path, pipe=True).decode().split(_SEPARATOR)
        lines = read_file(answers).decode().splitlines()
        tokens = [[int(id) for id in line.split()] for line in lines]
    except OSError as error:
        raise UsageError(f"--token-test {error.filename}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"--token-test {path}: {error}; texts are UTF-8, tokens numbers") from error
    if texts and texts[-1] == "":  # after the last separator
        texts.pop()
    if len(texts) != len(tokens):
        raise UsageError(f"--token-test {path}: {len(texts)} texts, but {len(tokens)} lines in {answers}")
    yield from zip(texts, tokens, strict=True)
