"""The vocabulary in the folder of a Hugging Face model: tokenizer.json, or else vocab.json and merges.txt; and which
tokens begin and end a text, by generation_config.json, config.json and tokenizer_config.json."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.hf.chat_templates import chat_templates
from ggtui.core.files.hf.tokenizer_json import Parts, tokenizer_json, vocab_json
from ggtui.core.files.json_file import read_json
from ggtui.core.vocab.bpe import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED

_MOST_CONFIG = 8 << 20
_SPECIAL = "<|endoftext|>"
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_ADD_BOS = ("llama-bpe", "tekken")  # what readers of GGUF begin a text with bos for, unless the file says


class Vocabulary:
    """The vocabulary of a model with `n_vocab` tokens, in `folder`: GGUF's keys as `metadata`, and `notes`."""

    def __init__(self, folder: Path, n_vocab: int, config: Fields) -> None:
        """Ids that the files do not name are called [PADn] and never used. Raises ModelFileError."""
        self._folder, self._n_vocab, self._config = folder, n_vocab, config
        self._parts = parts = _read(folder)
        self.notes = parts.notes
        tokens, types = self._tokens()
        self._id_of = {token: id for id, token in enumerate(tokens) if types[id] != UNUSED}
        tokenizer = _optional(folder / "tokenizer_config.json")
        bos, eos, ends = self._ends(tokenizer)
        for id in (bos, *ends, self._id_of.get(_SPECIAL)):
            if id is not None and types[id] == NORMAL:
                types[id] = CONTROL
        strips = {
            side: sorted({self._id_of[a.text] for a in parts.added if getattr(a, side) and a.text in self._id_of})
            for side in ("lstrip", "rstrip")
        }
        lists = {"end_ids": sorted(ends) if len(ends) > 1 else [], **strips}
        self.metadata: dict[str, Any] = {
            **parts.said,
            "tokenizer.ggml.tokens": tokens,
            **self._scores(tokens, types),
            "tokenizer.ggml.token_type": types,
            **{f"tokenizer.ggml.{key}_token_id": id for key, id in (("bos", bos), ("eos", eos)) if id is not None},
            **self._added_around(tokenizer),
            **{f"ggtui.tokenizer.{key}": ids for key, ids in lists.items() if ids},
            **chat_templates(folder, tokenizer),
        }

    def _refuse(self, token: str, problem: str) -> NoReturn:
        raise ModelFileError(self._parts.source, f"id of {shown(token)}", problem)

    def _tokens(self) -> tuple[list[str], list[int]]:
        """The tokens by their ids, and GGUF's kinds of them."""
        n, parts = self._n_vocab, self._parts
        tokens, types = [f"[PAD{id}]" for id in range(n)], [UNUSED] * n
        beyond = {a.text for a in parts.added if type(a.id) is int and a.id >= n}
        for token, id in parts.ids.items():
            if token in beyond:
                continue
            if type(id) is not int or not 0 <= id < n:
                self._refuse(token, f"is {shown(id)}; the model has tokens 0 to {n - 1}")
            if types[id] != UNUSED:
                self._refuse(token, f"is {id}, as that of {shown(tokens[id])}")
            tokens[id] = token
            types[id] = BYTE if parts.by_characters and _BYTE.fullmatch(token) else NORMAL
        for added in parts.added:
            if added.text in beyond:
                continue
            if type(added.id) is not int or not 0 <= added.id < n:
                self._refuse(added.text, f"is {shown(added.id)}; the model has tokens 0 to {n - 1}")
            if types[added.id] != UNUSED and tokens[added.id] != added.text:
                self._refuse(added.text, f"is {added.id}, as that of {shown(tokens[added.id])}")
            tokens[added.id], types[added.id] = added.text, CONTROL if added.special else USER_DEFINED
        unknown = parts.ids.get(parts.unknown) if parts.by_characters and parts.unknown is not None else None
        if type(unknown) is int and 0 <= unknown < n:
            types[unknown] = UNKNOWN
        if beyond:
            names = ", ".join(map(shown, sorted(beyond)[:4]))
            self.notes.append(f"{len(beyond)} added tokens have no weights and are left out: {names}")
        return tokens, types

    def _scores(self, tokens: list[str], types: list[int]) -> dict[str, Any]:
        """What says which neighbours are merged first: the merges; or for vocabularies of characters scores, the higher
        the sooner a merge makes the token."""
        merges = self._parts.merges
        if not self._parts.by_characters:
            return {"tokenizer.ggml.merges": merges}
        rank: dict[str, int] = {}
        for i, merge in enumerate(merges):
            rank.setdefault(merge.replace(" ", ""), i)
        unknown = {"tokenizer.ggml.unknown_token_id": types.index(UNKNOWN)} if UNKNOWN in types else {}
        scores = [float(-rank.get(token, len(merges))) for token in tokens]
        return {"tokenizer.ggml.scores": scores, **unknown}

    def _ends(self, tokenizer: Mapping[str, Any]) -> tuple[int | None, int | None, set[int]]:
        """The tokens bos and eos, and all that end a text."""
        path = self._folder / "generation_config.json"
        generation = Fields.of(_optional(path), path)
        bos = next((ids[0] for ids in (self._ids(f, "bos_token_id") for f in (generation, self._config)) if ids), None)
        if bos is None:
            bos = self._named(tokenizer, "bos_token")
        if self._parts.before:  # what texts begin with is what bos means to GGUF
            bos = self._around("before")
        listed = self._ids(generation, "eos_token_id") or self._ids(self._config, "eos_token_id")
        named = self._named(tokenizer, "eos_token")
        eos = named if named in listed or not listed else listed[0]
        if self._parts.after:
            eos = self._around("after")
        return bos, eos, {id for id in (*listed, named, eos) if id is not None}

    def _ids(self, fields: Fields, key: str) -> list[int]:
        if key not in fields:
            return []
        return fields.whole_or_wholes(key, 0, self._n_vocab - 1)

    def _named(self, tokenizer: Mapping[str, Any], key: str) -> int | None:
        """The id of a token that tokenizer_config.json names by its text."""
        text = tokenizer.get(key)
        text = text.get("content") if isinstance(text, dict) else text
        return self._id_of.get(text) if isinstance(text, str) else None

    def _around(self, side: str) -> int:
        (token,) = getattr(self._parts, side)
        if token not in self._id_of:
            raise ModelFileError(self._parts.source, "post_processor", f"has {shown(token)}, which is no token")
        return self._id_of[token]

    def _added_around(self, tokenizer: Mapping[str, Any]) -> dict[str, bool]:
        """Whether texts begin with bos and end with eos, where readers of GGUF do not take the same for granted."""
        said, usual = self._parts.said, {"bos": False, "eos": False}
        if self._parts.by_characters or said["tokenizer.ggml.pre"] in _ADD_BOS:
            usual["bos"] = True
        made = {"bos": bool(self._parts.before), "eos": bool(self._parts.after)}
        if not self._parts.around:
            made = {key: tokenizer.get(f"add_{key}_token") is True for key in made}
        return {f"tokenizer.ggml.add_{key}_token": made[key] for key in made if made[key] != usual[key]}


def _read(folder: Path) -> Parts:
    if os.path.exists(folder / "tokenizer.json"):
        return tokenizer_json(folder / "tokenizer.json")
    if os.path.exists(folder / "vocab.json"):
        return vocab_json(folder)
    problem = "has neither tokenizer.json nor vocab.json with merges.txt; download them too"
    if os.path.exists(folder / "tokenizer.model"):
        problem = "has tokenizer.model alone, which ggtui does not read; download tokenizer.json too"
    raise ModelFileError(folder, "vocabulary", problem)


def _optional(path: Path) -> dict[str, Any]:
    """What a file says; nothing if it is not there."""
    return read_json(path, _MOST_CONFIG) if os.path.exists(path) else {}
