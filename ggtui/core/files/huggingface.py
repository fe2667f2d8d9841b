"""Reads a model as Hugging Face keeps it: a folder with config.json, the weights as safetensors, and the vocabulary.

What the folders of an architecture call their tensors and sizes is in files/names; what they say is read in files/hf.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ggtui.core.errors import ModelFileError
from ggtui.core.files import CONFIG
from ggtui.core.files.hf import changes
from ggtui.core.files.hf.config import Config
from ggtui.core.files.hf.weights import open_weights
from ggtui.core.files.hf_vocabulary import Vocabulary
from ggtui.core.files.json_file import parse_json
from ggtui.core.files.model_file import ModelFile, Rows, RowsOf, TensorInfo
from ggtui.core.files.safetensors import SafetensorsFile
from ggtui.core.graph.types import TYPES
from ggtui.core.vocab.bpe import MAX_TOKENS

MAX_CONFIG = 1 << 20
_CHUNK = 1 << 20


class _Place(NamedTuple):
    """Which file a tensor is in, under which name, and what is to become of its rows, see names.table.Row."""

    file: SafetensorsFile
    raw: str
    change: str


class HuggingFaceFile(ModelFile):
    """A Hugging Face folder as one model. The offsets of its tensors are those in their own safetensors file, 0 where
    the config told of them."""

    def __init__(self, path: str | Path) -> None:
        """From the folder, or from a safetensors file in it.

        Raises ModelFileError, which names the file and the field, for anything that is not a model that ggtui can run.
        """
        path = Path(path)
        folder = path if os.path.isdir(path) else path.parent
        super().__init__(folder / CONFIG)
        self._shards: list[SafetensorsFile] = []
        try:
            if self.size > MAX_CONFIG:
                self.refuse("file", f"is over the limit of {MAX_CONFIG} bytes for such a file")
            self._config = Config(parse_json(self, "JSON", 0, self.size), self.refuse)
            self._places = self._find(open_weights(folder, path, self._shards))
            tensors = {name: self._describe(name, place) for name, place in self._places.items()}
            for name, values in self._config.made.items():
                tensors[name] = TensorInfo(name, TYPES["f32"], (len(values), 1, 1, 1), 0, values.nbytes)
            self.tensors = MappingProxyType(tensors)
            self._check_tied()
            self.metadata = MappingProxyType(self._metadata(folder))
        except BaseException:
            self.close()
            raise
        self.notes = tuple(self._config.notes)
        self.path = folder

    def _find(self, files: dict[str, SafetensorsFile]) -> dict[str, _Place]:
        """GGUF's name of each of the model's tensors -> where it is."""
        table, n_layer = self._config.table, self._config.n_layer
        rows = [row for row in table.rows if self._config.has(row.when)]
        all_rows = [row for row in rows if "%d" not in row.raw]
        all_rows += [
            row._replace(gguf=row.gguf % il, raw=row.raw % il)
            for il in range(n_layer)
            for row in rows
            if "%d" in row.raw
        ]
        known = {row.raw: row for row in all_rows}
        places: dict[str, _Place] = {}
        left_out: dict[str, int] = {}
        for raw, file in files.items():
            other = next((other for other in table.others if raw.startswith(other)), None)
            if other is not None:
                left_out[other] = left_out.get(other, 0) + 1
                continue
            prefix = next((prefix for prefix in table.prefixes if raw.startswith(prefix)), "")
            plain = raw.removeprefix(prefix)
            if re.fullmatch(table.ignored, plain):
                continue
            if plain not in known:
                file.refuse(raw, f"a {table.title} of {n_layer} layers has no such tensor")
            name = known[plain].gguf
            if name in places:
                file.refuse(raw, f"the model has {places[name].raw} too, which is the same")
            places[name] = _Place(file, raw, known[plain].change)
        missing = next((r.raw for r in all_rows if r.gguf not in places and r.gguf != "output.weight"), None)
        if missing is not None:
            raise ModelFileError(self.path.parent, missing, "the tensor is missing")
        for other, n in left_out.items():
            what = f"{n} tensors of {other.rstrip('.')} are left out"
            self._config.notes.append(f"{what}: ggtui runs the text model alone")
        return {row.gguf: places[row.gguf] for row in all_rows if row.gguf in places}

    def _describe(self, name: str, place: _Place) -> TensorInfo:
        info = place.file.tensor(place.raw)
        ne, n_head = info.ne, self._n_head(place.change)
        if place.change == "transpose":
            ne = (ne[1], ne[0], ne[2], ne[3])
        elif n_head and _length(info) % (n_head * (3 if place.change == "by_part" else 2)):
            place.file.refuse(place.raw, f"its {_length(info)} rows are not those of {n_head} heads", info.offset)
        info = TensorInfo(name, info.type, ne, info.offset, info.n_bytes)
        return changes.as_f32(info) if place.change == "plus_one" else info

    def _n_head(self, change: str) -> int:
        """How many heads' rows change places; 0 where that is not what the change is."""
        if change not in ("pairs_q", "pairs_k", "by_part"):
            return 0
        table, said = self._config.table, self._config.metadata
        n_head: int = said[f"{table.arch}.attention.head_count"]
        return int(said.get(f"{table.arch}.attention.head_count_kv", n_head)) if change == "pairs_k" else n_head

    def _check_tied(self) -> None:
        """Drop an output matrix that only repeats the token embedding."""
        output, embd = self.tensors.get("output.weight"), self.tensors["token_embd.weight"]
        raw = {row.gguf: row.raw for row in self._config.table.rows}
        if output is None and not self._config.tied:
            self.refuse("tie_word_embeddings", f"is false, but there is no {raw['output.weight']}")
        if output is None or not self._config.tied:
            return
        same = (output.type, output.ne) == (embd.type, embd.ne)
        if not same or not _equal(self.rows("output.weight"), self.rows("token_embd.weight")):
            differ = f"{raw['output.weight']} differs from {raw['token_embd.weight']}"
            self.refuse("tie_word_embeddings", f"is true, but {differ}; if it is meant to, set this to false")
        self.tensors = MappingProxyType({n: t for n, t in self.tensors.items() if n != "output.weight"})

    def _metadata(self, folder: Path) -> dict[str, Any]:
        fields, n_vocab = self._config.fields, self.tensors["token_embd.weight"].ne[1]
        embd = self._places["token_embd.weight"].raw
        if n_vocab > MAX_TOKENS:
            self.refuse(embd, f"has {n_vocab} rows, over the limit of {MAX_TOKENS} tokens")
        if (size := fields.whole("vocab_size", 1, MAX_TOKENS, n_vocab)) != n_vocab:
            self.refuse("vocab_size", f"is {size}, but {embd} has {n_vocab} rows")
        words = Vocabulary(folder, n_vocab, fields)
        self._config.notes += words.notes
        about = {"general.name": os.path.basename(os.path.abspath(folder))}
        return {**self._config.metadata, **about, **words.metadata}

    def rows(self, name: str) -> RowsOf:
        """As for any file, but what changes in other ways than by the order of its rows is read as a whole."""
        info = self._info(name)
        if name in self._config.made:
            return self._config.made[name].view(np.uint8).reshape(1, -1)
        place = self._places[name]
        stored = place.file.tensor(place.raw)
        rows, n, n_head = Rows(place.file, stored), _length(stored), self._n_head(place.change)
        if place.change == "transpose":
            return changes.transposed(rows, info)
        if place.change == "plus_one":
            return changes.plus_one(rows, stored)
        if not n_head:
            return rows
        if place.change == "by_part":
            return changes.reordered(rows, stored, changes.by_part(n, n_head), n // n_head // 3)
        return changes.reordered(rows, stored, changes.pairs(n, n_head), n // n_head)

    def reads_whole(self, name: str) -> bool:
        self._info(name)
        return name in self._config.made or self._places[name].change in ("transpose", "plus_one")

    def close(self) -> None:
        for shard in self._shards:
            shard.close()
        super().close()


def _length(info: TensorInfo) -> int:
    """The rows of a matrix, the numbers of a vector."""
    return info.ne[1] if info.ne[1] > 1 else info.ne[0]


def _equal(a: RowsOf, b: RowsOf) -> bool:
    step = max(1, _CHUNK // a[:1].size)
    return all(np.array_equal(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step))
