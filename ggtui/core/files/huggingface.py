"""Reads a GPT-2 as Hugging Face keeps it: a folder with config.json, the weights as safetensors, and the vocabulary.

Weights of linear layers are (in, out) there, GGUF's rows are outputs: such a tensor is transposed when it is asked for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ggtui.core.errors import ModelFileError
from ggtui.core.files import AS_SAFETENSORS, CONFIG, IS_PICKLE
from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.hf_vocabulary import vocabulary
from ggtui.core.files.json_file import parse_json, read_json
from ggtui.core.files.model_file import Bytes, ModelFile, Rows, TensorInfo
from ggtui.core.files.names.gpt2 import MAX_LAYERS, gguf_names
from ggtui.core.files.safetensors import SafetensorsFile
from ggtui.core.vocab.bpe import MAX_TOKENS

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
MAX_CONFIG = 1 << 20
MAX_INDEX = 16 << 20
MAX_SHARDS = 1024
MAX_FILE_NAME = 255  # bytes
MAX_SIZE = 1 << 24  # of a hyper-parameter
_CHUNK = 1 << 20

_ACTIVATIONS = ("gelu_new", "gelu", "relu")
# Attention that differs from GPT-2's where the config has another value than this.
_ATTENTION = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
}
_BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")  # the mask, saved along by older versions
_TRANSPOSED = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")


class _Place(NamedTuple):
    """Which file a tensor is in, under which name, and whether its rows are to become columns."""

    file: SafetensorsFile
    raw: str
    transpose: bool


class HuggingFaceFile(ModelFile):
    """A Hugging Face folder as one model. The offsets of its tensors are those in their own safetensors file."""

    def __init__(self, path: str | Path) -> None:
        """From the folder, or from a safetensors file in it.

        Raises ModelFileError, which names the file and the field, for anything that is not a GPT-2 that ggtui can run.
        """
        path = Path(path)
        folder = path if os.path.isdir(path) else path.parent
        super().__init__(folder / CONFIG)
        self._shards: list[SafetensorsFile] = []
        try:
            config = self._config()
            self._places = self._find(config, self._open(folder, path))
            tensors = {name: self._describe(name, place) for name, place in self._places.items()}
            self.tensors = MappingProxyType(tensors)
            self._check_tied(config)
            self.metadata = MappingProxyType(self._metadata(config, folder))
        except BaseException:
            self.close()
            raise
        self.path = folder

    def _config(self) -> dict[str, Any]:
        if self.size > MAX_CONFIG:
            self.refuse("file", f"is over the limit of {MAX_CONFIG} bytes for such a file")
        config = parse_json(self, "JSON", 0, self.size)
        Fields(config, self.refuse).choice("model_type", ("gpt2",))
        for key, value in _ATTENTION.items():
            if config.get(key, value) is not value:
                self.refuse(key, f"is {shown(config[key])}, which ggtui does not do; it must be {value}")
        if config.get("quantization_config") is not None:
            self.refuse("quantization_config", "is given; ggtui reads the weights before they were quantized")
        return config

    def _open(self, folder: Path, asked: Path) -> dict[str, SafetensorsFile]:
        """Each tensor's name in the files -> the file that has it."""
        single = folder / WEIGHTS if asked == folder else asked
        shard_of = self._index(folder / INDEX) if os.path.exists(folder / INDEX) else {}
        if os.path.exists(single) and single.name not in shard_of.values():
            self._shards.append(SafetensorsFile(single))
            return dict.fromkeys(self._shards[0].entries, self._shards[0])
        if not shard_of:
            pickle = next((name for name in _PICKLES if os.path.exists(folder / name)), None)
            if pickle is None:
                raise ModelFileError(folder, WEIGHTS, "does not exist; download it too")
            raise ModelFileError(folder, pickle, f"{IS_PICKLE}; {AS_SAFETENSORS.replace('FOLDER', str(folder))}")
        files: dict[str, SafetensorsFile] = {}
        for shard in sorted(set(shard_of.values())):
            file = SafetensorsFile(folder / shard)
            self._shards.append(file)
            listed = {name for name, its_shard in shard_of.items() if its_shard == shard}
            if listed != file.entries.keys():
                name = min(listed ^ file.entries.keys())
                where = f"{INDEX} lists it for this file" if name in listed else f"{INDEX} does not list it here"
                file.refuse(name, f"{where}; the files do not belong together, download them again")
            files |= dict.fromkeys(file.entries, file)
        return files

    @staticmethod
    def _index(path: Path) -> dict[str, str]:
        """Each tensor's name -> the name of its file, which lies in the same folder."""
        weight_map = read_json(path, MAX_INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelFileError(path, "weight_map", "is missing or empty")
        for name, shard in weight_map.items():
            bad = not isinstance(shard, str) or shard in ("", ".", "..") or "/" in shard or "\0" in shard
            if bad or len(shard.encode()) > MAX_FILE_NAME:
                raise ModelFileError(path, f"weight_map of {name}", f"is {shown(shard)}, not the name of a file")
        if len(set(weight_map.values())) > MAX_SHARDS:
            raise ModelFileError(path, "weight_map", f"names over {MAX_SHARDS} files")
        return weight_map

    def _find(self, config: dict[str, Any], files: dict[str, SafetensorsFile]) -> dict[str, _Place]:
        """GGUF's name of each of the model's tensors -> where it is."""
        names = gguf_names("huggingface", Fields(config, self.refuse).whole("n_layer", 1, MAX_LAYERS))
        places: dict[str, _Place] = {}
        for raw, file in files.items():
            plain = raw.removeprefix("transformer.")
            if _BUFFERS.fullmatch(plain):
                continue
            if plain not in names:
                file.refuse(raw, f"a GPT-2 of {config['n_layer']} layers has no such tensor")
            name = names[plain]
            if name in places:
                file.refuse(raw, f"the model has {places[name].raw} too, which is the same")
            places[name] = _Place(file, raw, name.endswith(_TRANSPOSED))
        missing = next((raw for raw, name in names.items() if name not in places and name != "output.weight"), None)
        if missing is not None:
            raise ModelFileError(self.path.parent, missing, "the tensor is missing")
        return {name: places[name] for name in names.values() if name in places}

    def _describe(self, name: str, place: _Place) -> TensorInfo:
        info = place.file.tensor(place.raw)
        ne = info.ne
        if place.transpose:
            ne = (ne[1], ne[0], ne[2], ne[3])
        return TensorInfo(name, info.type, ne, info.offset, info.n_bytes)

    def _check_tied(self, config: dict[str, Any]) -> None:
        """Drop an output matrix that only repeats the token embedding."""
        tied = config.get("tie_word_embeddings", True)
        if not isinstance(tied, bool):
            self.refuse("tie_word_embeddings", f"is {shown(tied)}, not true or false")
        output, embd = self.tensors.get("output.weight"), self.tensors["token_embd.weight"]
        if output is None and not tied:
            self.refuse("tie_word_embeddings", "is false, but there is no lm_head.weight")
        if output is None or not tied:
            return
        same = (output.type, output.ne) == (embd.type, embd.ne)
        if not same or not _equal(self.rows("output.weight"), self.rows("token_embd.weight")):
            problem = "is true, but lm_head.weight differs from wte.weight; if it is meant to, set this to false"
            self.refuse("tie_word_embeddings", problem)
        self.tensors = MappingProxyType({n: t for n, t in self.tensors.items() if n != "output.weight"})

    def _metadata(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        fields = Fields(config, self.refuse)

        def size(key: str, default: int | None = None, most: int = MAX_SIZE) -> int:
            return fields.whole(key, 1, most, default)

        n_embd, n_vocab = size("n_embd"), self.tensors["token_embd.weight"].ne[1]
        if n_vocab > MAX_TOKENS:
            self.refuse("wte.weight", f"has {n_vocab} rows, over the limit of {MAX_TOKENS} tokens")
        if size("vocab_size", n_vocab, MAX_TOKENS) != n_vocab:
            self.refuse("vocab_size", f"is {config['vocab_size']}, but wte.weight has {n_vocab} rows")
        metadata: dict[str, Any] = {
            "general.architecture": "gpt2",
            "general.name": os.path.basename(os.path.abspath(folder)),
            "gpt2.block_count": size("n_layer"),
            "gpt2.context_length": size("n_positions" if "n_positions" in fields else "n_ctx"),
            "gpt2.embedding_length": n_embd,
            "gpt2.feed_forward_length": size("n_inner", 4 * n_embd),
            "gpt2.attention.head_count": size("n_head"),
            "gpt2.attention.layer_norm_epsilon": fields.fraction("layer_norm_epsilon", 1e-5),
        }
        activation = fields.choice("activation_function", _ACTIVATIONS, "gelu_new")
        if activation != "gelu_new":
            metadata["gpt2.activation_function"] = activation
        bos, eos = (
            fields.whole(key, 0, n_vocab - 1) if key in fields else None for key in ("bos_token_id", "eos_token_id")
        )
        return metadata | vocabulary(folder, n_vocab, bos, eos)

    def rows(self, name: str) -> Rows | Bytes:
        """As for any file, but what is stored with its rows as columns is read as a whole, and transposed."""
        info, place = self._info(name), self._places[name]
        if not place.transpose:
            return Rows(place.file, info)
        stored, kind = Rows(place.file, place.file.tensor(place.raw)), f"u{info.type.bytes}"
        rows = np.empty((info.ne[1], info.ne[0]), kind)
        step = max(1, _CHUNK // stored[:1].size)
        for i in range(0, len(stored), step):
            rows[:, i : i + step] = stored[i : i + step].view(kind).T
        return rows.view(np.uint8)

    def reads_whole(self, name: str) -> bool:
        self._info(name)
        return self._places[name].transpose

    def close(self) -> None:
        for shard in self._shards:
            shard.close()
        super().close()


def _equal(a: Rows | Bytes, b: Rows | Bytes) -> bool:
    step = max(1, _CHUNK // a[:1].size)
    return all(np.array_equal(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step))
