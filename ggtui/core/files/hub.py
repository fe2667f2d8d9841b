"""Fetches models of the Hugging Face hub into its cache, by its own library, which goes on where a connection broke and
heeds HF_TOKEN, HF_ENDPOINT and HF_HOME. The library is an extra: pip install 'ggtui[hub]'."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError

HUB = "hf:"  # what names of its models begin with
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?::(.+))?", re.ASCII)
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_BESIDE = (  # what ggtui reads of a folder beside the weights
    "config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip
_TEMPLATE = re.compile(r"additional_chat_templates/[\w.-]+\.jinja", re.ASCII)
_PIECE = 1 << 20  # bytes hashed at a time
_SHOWN = 12  # names in a message


class HubFile(NamedTuple):
    """A file of a repository. The sha256 is None for small ones, which are kept by another hash."""

    name: str
    size: int  # bytes; 0 where the hub does not say
    sha256: str | None


class Choice(NamedTuple):
    """What of a repository is to be fetched: one GGUF, its first file first, or the files of a folder. `licence` is its
    short name there."""

    repository: str
    revision: str
    licence: str
    files: tuple[HubFile, ...]
    is_folder: bool

    @property
    def name(self) -> str:
        """The model's name, once it is here."""
        return HUB + self.repository + ("" if self.is_folder else f":{self.files[0].name.removesuffix('.gguf')}")

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def choose(asked: str) -> Choice:
    """Ask the hub what hf:USER/REPO[:FILE or TYPE] means.

    Raises UsageError where there is no such repository or file, or more than one file fits; MissingPartError without
    the library; GgtuiError where the hub cannot be asked.
    """
    match = _NAME.fullmatch(asked)
    if match is None:
        raise UsageError(f"{asked}: is no name of the hub; write hf:USER/REPO, or hf:USER/REPO:TYPE such as :Q4_K_M")
    if find_spec("huggingface_hub") is None:
        raise MissingPartError(
            "huggingface_hub, which fetches from the hub, is missing; install it with: pip install 'ggtui[hub]'"
        )
    repository, part = match[1], match[2]
    with _told(repository):
        from huggingface_hub import HfApi

        # What it would warn of, such as that it goes on after a break, is no error.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        info: Any = HfApi().model_info(repository, files_metadata=True)
        files = [HubFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else None) for f in info.siblings or ()]
        licence = next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), "unknown")
    wanted, is_folder = wanted_files(repository, files, part)
    return Choice(repository, info.sha, licence, tuple(wanted), is_folder)


def is_here(choice: Choice) -> bool:
    """Whether all of it is in the cache already."""
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(choice.repository, f.name, revision=choice.revision) for f in choice.files)
    return all(isinstance(path, str) for path in cached)


def fetch(choice: Choice, *, again: bool = False, bars: bool = False) -> Path:
    """Fetch what is not in the cache yet, or all of it `again`, and return the file's or the folder's path. `bars` lets
    the library draw its progress on stderr.

    Raises GgtuiError where that fails, the disk is full, or a file is not what the hub says. A file gets its name when
    it is complete.
    """
    with _told(choice.repository):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.utils.tqdm import disable_progress_bars

        if not bars:
            disable_progress_bars()
        if again or not is_here(choice):
            _check_room(choice, Path(HF_HUB_CACHE))
        paths = []
        for file in choice.files:
            path = Path(hf_hub_download(choice.repository, file.name, revision=choice.revision, force_download=again))
            _check(path, file)
            paths.append(path)
    return paths[0].parent if choice.is_folder else paths[0]


def wanted_files(repository: str, files: Sequence[HubFile], part: str | None) -> tuple[list[HubFile], bool]:
    """The one GGUF that is meant, which may be in several files, or the files of a folder, and whether it is that."""
    ggufs = _ggufs(files)
    fitting = _fitting(ggufs, part)
    if len(fitting) == 1:
        return ggufs[fitting[0]], False
    if ggufs:
        problem = f"several files fit {part or 'it'}" if fitting else f"it has no file that fits {part}"
        raise UsageError(f"{HUB}{repository}: {problem}; add one of them: {_listed(fitting or list(ggufs))}")
    if any(_SHARD.fullmatch(file.name) for file in files):
        raise UsageError(f"{HUB}{repository}: it lacks some of the files that its model is split into; name another")
    weights = [file for file in files if _WEIGHTS.fullmatch(file.name)]
    if part or not weights or not any(file.name == "config.json" for file in files):
        kinds = "no GGUF file" if part else "neither a GGUF file nor config.json and model.safetensors"
        raise UsageError(f"{HUB}{repository}: it has {kinds}; name another repository")
    templates = [file for file in files if _TEMPLATE.fullmatch(file.name)]
    return [file for file in files if file.name in _BESIDE] + weights + templates, True


def _ggufs(files: Sequence[HubFile]) -> dict[str, list[HubFile]]:
    """Each GGUF that is whole, by its name, with the files that it is in."""
    found: dict[str, list[HubFile]] = {}
    shards: dict[tuple[str, int], dict[int, HubFile]] = {}
    for file in files:
        if not file.name.lower().endswith(".gguf") or not _is_below(file.name):
            continue
        if split := _SHARD.fullmatch(file.name):
            shards.setdefault((split[1], int(split[3])), {})[int(split[2])] = file
        else:
            found[file.name[: -len(".gguf")]] = [file]
    for (name, count), parts in shards.items():
        if sorted(parts) == list(range(1, count + 1)):
            found.setdefault(name, [parts[n + 1] for n in range(count)])
    return found


def _fitting(names: Iterable[str], part: str | None) -> list[str]:
    """Those that a name, or a type in it, fits: exactly, or else as a word of it, or else as a part."""
    if part is None:  # what turns pictures into tokens lies beside the model that reads them
        return [name for name in names if not name.rpartition("/")[2].startswith("mmproj")]
    wanted = part.lower().removesuffix(".gguf")
    if split := _SHARD.fullmatch(f"{wanted}.gguf"):
        wanted = split[1]
    word = re.compile(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])")
    lower = {name: name.lower() for name in names}
    exact = [name for name, low in lower.items() if low == wanted]
    words = [name for name, low in lower.items() if word.search(low)]
    return exact or words or [name for name, low in lower.items() if wanted in low]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f":{name}" for name in names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)


def _is_below(name: str) -> bool:
    """Whether a name that the hub gave stays in the folder it is put into."""
    return not name.startswith("/") and ".." not in name.split("/")


def _check(path: Path, file: HubFile) -> None:
    """Raise GgtuiError for a file that is not what the hub says; it is removed, so that the next try fetches it."""
    damaged = bool(file.size) and path.stat().st_size != file.size
    if file.sha256 is not None and not damaged:
        digest = hashlib.sha256()
        with open(path, "rb") as data:
            while piece := data.read(_PIECE):
                digest.update(piece)
        damaged = digest.hexdigest() != file.sha256
    if damaged:
        os.unlink(os.path.realpath(path))
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise GgtuiError(f"{file.name}: what came is damaged, and was removed; try again")


def _check_room(choice: Choice, cache: Path) -> None:
    """Raise GgtuiError where the disk of the cache has no room for the files."""
    there = next((folder for folder in (cache, *cache.parents) if folder.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    if free < choice.size:
        raise GgtuiError(f"{cache}: has {free:,} bytes free, and {choice.size:,} are needed; make room")


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """What the library raises, in a line of ours. It raises what its own libraries for HTTP do, so all is taken."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GgtuiError:
        raise
    except GatedRepoError as error:
        raise GgtuiError(
            f"{HUB}{repository}: needs its licence accepted: do so on its page of the hub, and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(f"{HUB}{repository}: there is none on the hub, or it is private and needs HF_TOKEN") from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise GgtuiError(
            f"{HUB}{repository}: was not fetched: {lines[0] if lines else type(error).__name__}"
        ) from error
