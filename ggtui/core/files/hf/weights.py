"""The safetensors files of a Hugging Face folder: one, or the shards that its index names."""

from __future__ import annotations

import os
from pathlib import Path

from ggtui.core.errors import ModelFileError
from ggtui.core.files import AS_SAFETENSORS, IS_PICKLE
from ggtui.core.files.fields import shown
from ggtui.core.files.json_file import read_json
from ggtui.core.files.safetensors import SafetensorsFile

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
MAX_INDEX = 16 << 20
MAX_SHARDS = 1024
MAX_FILE_NAME = 255  # bytes


def open_weights(folder: Path, asked: Path, opened: list[SafetensorsFile]) -> dict[str, SafetensorsFile]:
    """Each tensor's name in the files -> the file that has it. `asked`: the folder, or a file in it. What is opened is
    added to `opened`, to be closed whatever comes. Raises ModelFileError."""
    single = folder / WEIGHTS if asked == folder else asked
    shard_of = _index(folder / INDEX) if os.path.exists(folder / INDEX) else {}
    if os.path.exists(single) and single.name not in shard_of.values():
        opened.append(SafetensorsFile(single))
        return dict.fromkeys(opened[0].entries, opened[0])
    if not shard_of:
        pickle = next((name for name in _PICKLES if os.path.exists(folder / name)), None)
        if pickle is None:
            raise ModelFileError(folder, WEIGHTS, "does not exist; download it too")
        raise ModelFileError(folder, pickle, f"{IS_PICKLE}; {AS_SAFETENSORS.replace('FOLDER', str(folder))}")
    files: dict[str, SafetensorsFile] = {}
    for shard in sorted(set(shard_of.values())):
        file = SafetensorsFile(folder / shard)
        opened.append(file)
        listed = {name for name, its_shard in shard_of.items() if its_shard == shard}
        if listed != file.entries.keys():
            name = min(listed ^ file.entries.keys())
            where = f"{INDEX} lists it for this file" if name in listed else f"{INDEX} does not list it here"
            file.refuse(name, f"{where}; the files do not belong together, download them again")
        files |= dict.fromkeys(file.entries, file)
    return files


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
