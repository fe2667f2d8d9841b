"""The vocabulary in the folder of a Hugging Face model: tokenizer.json, or else vocab.json and merges.txt."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import shown
from ggtui.core.files.json_file import read_json
from ggtui.core.files.model_file import ModelFile
from ggtui.core.files.texts import Texts
from ggtui.core.vocab.bpe import CONTROL, MAX_MERGES, NORMAL, UNUSED, USER_DEFINED

_MOST = 40 << 20  # bytes of a file; those of large vocabularies have 33 million
_MOST_ROLES = 1 << 20
_SPECIAL = "<|endoftext|>"

# What tokenizer.json may say of each part besides what is read from it. Whatever else there is would change the tokens.
_MODEL = {
    "type": ("BPE", None),
    "dropout": (None, 0, 0.0),
    "unk_token": None,  # never used: every byte is a token
    "continuing_subword_prefix": ("", None),
    "end_of_word_suffix": ("", None),
    "fuse_unk": None,
    "byte_fallback": (False,),
    "ignore_merges": (False,),
    "vocab": None,
    "merges": None,
}
_BYTE_LEVEL = {"type": ("ByteLevel",), "add_prefix_space": (False,), "trim_offsets": None, "use_regex": (True,)}


def vocabulary(folder: Path, n_vocab: int, bos: int | None, eos: int | None) -> dict[str, Any]:
    """The `tokenizer.ggml.*` metadata of the model in `folder`, for `n_vocab` tokens.

    Ids that the files do not name are called [PADn] and never used. Raises ModelFileError.
    """
    if os.path.exists(folder / "tokenizer.json"):
        ids, merges, added = _tokenizer_json(folder / "tokenizer.json")
        source = folder / "tokenizer.json"
    elif os.path.exists(folder / "vocab.json"):
        ids, merges, added = _vocab_json(folder)
        source = folder / "vocab.json"
    else:
        problem = "has neither tokenizer.json nor vocab.json with merges.txt; download them too"
        raise ModelFileError(folder, "vocabulary", problem)

    def refuse(token: str, problem: str) -> NoReturn:
        raise ModelFileError(source, f"id of {shown(token)}", problem)

    tokens = [f"[PAD{id}]" for id in range(n_vocab)]
    types = [UNUSED] * n_vocab
    for token, id in ids.items():
        if type(id) is not int or not 0 <= id < n_vocab:
            refuse(token, f"is {shown(id)}; the model has tokens 0 to {n_vocab - 1}")
        if types[id] != UNUSED:
            refuse(token, f"is {id}, as that of {shown(tokens[id])}")
        tokens[id], types[id] = token, NORMAL
    for token, id, special in added:
        if type(id) is not int or not 0 <= id < n_vocab:
            refuse(token, f"is {shown(id)}; the model has tokens 0 to {n_vocab - 1}")
        if types[id] != UNUSED and tokens[id] != token:
            refuse(token, f"is {id}, as that of {shown(tokens[id])}")
        tokens[id], types[id] = token, CONTROL if special else USER_DEFINED
    for id in {bos, eos, ids.get(_SPECIAL)}:
        if id is not None and 0 <= id < n_vocab and types[id] == NORMAL:
            types[id] = CONTROL
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
    }
    for key, id in (("bos", bos), ("eos", eos)):
        if id is not None:
            metadata[f"tokenizer.ggml.{key}_token_id"] = id
    return metadata


_Parts = tuple[dict[str, Any], Texts, list[tuple[str, Any, bool]]]  # token -> id, merges, (token, id, special)


def _vocab_json(folder: Path) -> _Parts:
    ids = read_json(folder / "vocab.json", _MOST)
    path = folder / "merges.txt"
    with ModelFile(path) as file:
        if file.size > _MOST:
            file.refuse("file", f"is over the limit of {_MOST} bytes for such a file")
        raw = file.head(_MOST)
    n = raw.count(b"\n")
    if n > MAX_MERGES:
        raise ModelFileError(path, "merges", f"have {n} lines, over the limit of {MAX_MERGES}")
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError as error:
        raise ModelFileError(path, "merges", "are not valid UTF-8", error.start) from None
    del raw
    first = 1 if lines[0].startswith("#version") else 0
    numbered = ((n, line.rstrip("\r")) for n, line in enumerate(lines[first:], first + 1) if line.rstrip("\r"))
    merges = _merges(path, "line", numbered)
    special = _special_tokens(folder / "special_tokens_map.json")
    added = [(token, ids[token], True) for token in special if token in ids]
    if os.path.exists(folder / "added_tokens.json"):
        more = read_json(folder / "added_tokens.json", _MOST)
        added += [(token, id, token in special or token not in ids) for token, id in more.items()]
    return ids, merges, added


def _special_tokens(path: Path) -> set[str]:
    """The tokens that special_tokens_map.json gives a role, such as that of padding."""
    if not os.path.exists(path):
        return set()
    roles = read_json(path, _MOST_ROLES).values()
    tokens = (t for role in roles for t in (role if isinstance(role, list) else [role]))
    texts = (t.get("content") if isinstance(t, dict) else t for t in tokens)
    return {t for t in texts if isinstance(t, str)}


def _tokenizer_json(path: Path) -> _Parts:
    def refuse(field: str, problem: str) -> NoReturn:
        raise ModelFileError(path, field, problem)

    def check(field: str, part: Any, allowed: Mapping[str, tuple[Any, ...] | None]) -> None:
        for key, value in part.items():
            if key not in allowed:
                refuse(f"{field}.{key}", f"is {shown(value)}, which ggtui does not know")
            values = allowed[key]
            if values is not None and not any(value is v or (type(value) is type(v) and value == v) for v in values):
                refuse(f"{field}.{key}", f"is {shown(value)}; ggtui reads only {values[0]!r}")

    tokenizer = read_json(path, _MOST)
    model, pre = tokenizer.get("model"), tokenizer.get("pre_tokenizer")
    if not isinstance(model, dict):
        refuse("model", "is missing")
    check("model", {"type": model.get("type")}, _MODEL)  # said first: another type has other keys too
    check("model", model, _MODEL)
    if isinstance(pre, dict) and pre.get("type") == "Sequence" and isinstance(pre.get("pretokenizers"), list):
        pre = pre["pretokenizers"][0] if len(pre["pretokenizers"]) == 1 else pre
    if not isinstance(pre, dict):
        refuse("pre_tokenizer", "is missing; ggtui reads only 'ByteLevel'")
    check("pre_tokenizer", {"type": pre.get("type")}, _BYTE_LEVEL)
    check("pre_tokenizer", {"add_prefix_space": True, "use_regex": True} | pre, _BYTE_LEVEL)
    if tokenizer.get("normalizer") is not None:
        refuse("normalizer", f"is {shown(tokenizer['normalizer'])}; ggtui reads only vocabularies without one")

    ids, merges, added = model.get("vocab"), model.get("merges"), tokenizer.get("added_tokens") or []
    if not isinstance(ids, dict):
        refuse("model.vocab", "is missing")
    if not isinstance(merges, list):
        refuse("model.merges", "is missing")
    if len(merges) > MAX_MERGES:
        refuse("model.merges", f"are {len(merges)}, over the limit of {MAX_MERGES}")
    lines = (" ".join(m) if isinstance(m, list) and all(isinstance(t, str) for t in m) else m for m in merges)
    if not isinstance(added, list) or not all(isinstance(a, dict) and isinstance(a.get("content"), str) for a in added):
        refuse("added_tokens", "is not a list of tokens")
    specials = [(a["content"], a.get("id"), a.get("special") is True) for a in added]
    return ids, _merges(path, "model.merges", enumerate(lines)), specials


def _merges(path: Path, field: str, lines: Iterable[tuple[int, Any]]) -> Texts:
    def checked() -> Iterator[str]:
        for n, line in lines:
            if not isinstance(line, str) or [len(part) > 0 for part in line.split(" ")] != [True, True]:
                raise ModelFileError(path, f"{field} {n}", f"is {shown(line)}, not two parts with a space between")
            yield line

    return Texts.of(checked())
