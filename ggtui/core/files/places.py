"""Where models lie on people's disks, as the programs that put them there keep them, and which of them a name means.

Nothing is opened but ollama's manifests, and no link out of the folders is followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ggtui.core.errors import GgtuiError, UnknownModelError
from ggtui.core.files.catalogue import CATALOGUE, Row
from ggtui.core.reading import read_object

DEEP = 6  # folders below a place's own that are looked into
MOST = 20_000  # entries of a place that are looked at
BUILT_IN = Path(__file__).parents[2] / "data" / "tales.gguf"  # the model that comes with ggtui
BUILT_IN_NAME = "built-in"
OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")  # of its service on Linux
_MANIFEST = 1 << 20  # bytes of one of ollama's
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_LONGEST = 300  # characters of a name
_SHOWN = 4  # names in a message
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)


class Found(NamedTuple):
    """A model: the name it goes by here, its file or folder, whose it is, and that one's folder. `size` is bytes, of
    all its files."""

    name: str
    path: Path
    owner: str
    root: Path
    size: int


def own_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `ggtui pull` puts models. Raises GgtuiError if there is no home folder."""
    if named := environ.get("GGTUI_MODELS"):
        return Path(named)
    base = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(base):  # the specification says to ignore others
        return Path(base, "ggtui", "models")
    return _home("GGTUI_MODELS") / ".local/share/ggtui/models"


def models(environ: Mapping[str, str] = os.environ) -> Iterator[Found]:
    """Every model on this machine, by place and then name; of two with one name in a place only the first."""
    yield from _plain("ggtui", own_folder(environ))
    with suppress(GgtuiError):  # without a home there are no folders of others, unless variables name them
        yield from _hub(_hub_folder(environ))
    with suppress(GgtuiError):
        yield from _plain("llama.cpp", _llama_cpp_folder(environ))
    for folder in _ollama_folders(environ):
        yield from _ollama(folder)
    with suppress(GgtuiError):
        home = _home("")
        for folder in (home / ".lmstudio/models", home / ".cache/lm-studio/models"):
            yield from _plain("LM Studio", folder)


def pulled_path(name: str) -> Path:
    """Where a model of the catalogue lies once it is pulled. Raises GgtuiError if there is no home folder."""
    return own_folder() / f"{name}.gguf"


def path_of(row: Row) -> Path | None:
    """Where a model of the catalogue lies; None where it is not on this machine. Raises GgtuiError without a home
    folder."""
    if row.hub is None:
        path = pulled_path(row.name)
        return path if path.exists() else None
    found = (model for model in _hub(_hub_folder(os.environ)) if "mmproj" not in model.name)  # of pictures, beside it
    return next((model.path for model in found if _fits(row.hub.lower(), model.name.lower())), None)


def template_of(path: Path) -> str | None:
    """The name of the chat template that the catalogue has for this file: one of ggtui's own folder."""
    row = CATALOGUE.get(path.stem)
    if row is None or row.template is None:
        return None
    return row.template if os.path.realpath(path) == os.path.realpath(pulled_path(row.name)) else None


def find_model(asked: str) -> Path:
    """What MODEL means: a path, "built-in", a name of the catalogue, a name that `models` gives, or a part of just one
    of these. A path that exists goes before all names.

    Raises UnknownModelError for what is none of them, and for a part of several.
    """
    no_name = len(asked) > _LONGEST or "\0" in asked or asked.startswith(("/", "./", "../"))
    if no_name or os.path.lexists(asked):
        return Path(asked)  # whoever opens it says what is wrong with it
    if asked == BUILT_IN_NAME:
        return BUILT_IN
    if asked in CATALOGUE:
        path = path_of(CATALOGUE[asked])
        if path is None:
            raise UnknownModelError(asked, "model", f"is not on this machine yet; fetch it with: ggtui pull {asked}")
        return path
    found = list(models()) if asked else []
    wanted = asked.lower().removesuffix(".gguf")
    for name in (wanted, f"{wanted}:latest"):  # a tag that ollama lets people leave out
        for model in found:
            if model.name.lower() == name:
                return model.path
    fitting = [model for model in found if _fits(wanted, model.name.lower())]
    if len(fitting) == 1:
        return fitting[0].path
    if fitting:
        several = ", ".join(model.name for model in fitting[:_SHOWN])
        raise UnknownModelError(asked, "model", f"may mean {several}{', ...' * (len(fitting) > _SHOWN)}; say which")
    raise UnknownModelError(asked, "file", f"does not exist, and no model has that name; {_advice(asked, found)}")


def _fits(wanted: str, name: str) -> bool:
    repository, _, file = wanted.rpartition(":")
    if repository.startswith("hf:"):  # hf:USER/REPO:TYPE
        return name.startswith(f"{repository}:") and file in name[len(repository) :]
    return wanted in name


def _advice(asked: str, found: Iterable[Found]) -> str:
    from difflib import get_close_matches

    if asked.startswith("hf:"):
        return f"fetch it with: ggtui pull {asked}"
    known = dict.fromkeys((BUILT_IN_NAME, *CATALOGUE, *(model.name for model in found)))
    near = get_close_matches(asked, list(known), 3, 0.6)
    return f"did you mean {' or '.join(near)}?" if near else "check the spelling, or see: ggtui list"


# ---- whose folders are where ----


def _home(variable: str) -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise GgtuiError(f"there is no home folder for models; set {variable}") from error


def _cache(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME", "")
    return Path(base) if os.path.isabs(base) else _home("XDG_CACHE_HOME") / ".cache"


def _hub_folder(environ: Mapping[str, str]) -> Path:
    if named := environ.get("HF_HUB_CACHE"):
        return Path(named)
    home = environ.get("HF_HOME")
    return Path(home).expanduser() / "hub" if home else _cache(environ) / "huggingface" / "hub"


def _llama_cpp_folder(environ: Mapping[str, str]) -> Path:
    named = environ.get("LLAMA_CACHE")
    return Path(named) if named else _cache(environ) / "llama.cpp"


def _ollama_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("OLLAMA_MODELS"):
        yield Path(named)
        return
    with suppress(GgtuiError):
        yield _home("OLLAMA_MODELS") / ".ollama/models"
    yield OLLAMA_SERVICE


# ---- what is in them ----


def _plain(owner: str, root: Path) -> Iterator[Found]:
    """GGUF files, and folders as Hugging Face has them, by their path in the place."""
    for name, path, size in _in_folder(root, os.path.realpath(root)):
        yield Found(root.name if name == "." else name, path, owner, root, size)


def _hub(root: Path) -> Iterator[Found]:
    """Of each repository what the snapshots hold, the newest first: as hf:USER/REPO:FILE, or hf:USER/REPO."""
    inside = os.path.realpath(root)
    for repository in sorted(_entries(root), key=lambda entry: entry.name):
        kind, _, name = repository.name.partition("--")
        if kind != "models" or not name:
            continue
        asked = f"hf:{name.replace('--', '/', 1)}"
        seen = set()
        for snapshot in sorted(_entries(Path(repository.path, "snapshots")), key=_modified, reverse=True):
            for file, path, size in _in_folder(Path(snapshot.path), inside):
                if file not in seen:
                    seen.add(file)
                    yield Found(asked if file == "." else f"{asked}:{file}", path, "Hugging Face", root, size)


def _ollama(root: Path) -> Iterator[Found]:
    """What the manifests name, as ollama calls it: llama3.2:1b."""
    manifests = root / "manifests"
    for path in _walk(manifests):
        host, *names = path.relative_to(manifests).parts
        if len(names) < 2:
            continue
        if host != "registry.ollama.ai":
            names.insert(0, host)
        elif names[0] == "library":
            del names[0]
        blob = _blob(path)
        if blob is not None and (size := _size(root / "blobs" / blob, os.path.realpath(root))) is not None:
            yield Found(f"{'/'.join(names[:-1])}:{names[-1]}", root / "blobs" / blob, "ollama", root, size)


def _blob(manifest: Path) -> str | None:
    """The name of the file with a model's weights."""
    try:
        layers: Any = read_object(manifest, _MANIFEST).get("layers")
        digest = next(layer["digest"] for layer in layers if layer["mediaType"] == _OLLAMA_MODEL)
    except (OSError, ValueError, TypeError, LookupError, StopIteration):
        return None
    return digest.replace(":", "-") if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def _in_folder(root: Path, inside: str) -> Iterator[tuple[str, Path, int]]:
    """Models below a folder: name, path, bytes. Of a split GGUF the first file stands for all."""
    folders: dict[Path, int] = {}
    shards: dict[tuple[Path, str, str], tuple[Path, int]] = {}
    files: list[tuple[str, Path, int]] = []
    for path in _walk(root):
        size = _size(path, inside)
        if size is None:
            continue
        if path.suffix == ".safetensors":
            folders[path.parent] = folders.get(path.parent, 0) + size
        elif path.suffix == ".gguf" and (split := _SHARD.fullmatch(path.stem)):
            first, so_far = shards.get((path.parent, split[1], split[3]), (path, 0))
            shards[path.parent, split[1], split[3]] = min(first, path), so_far + size
        elif path.suffix == ".gguf":
            files.append((str(path.relative_to(root).with_suffix("")), path, size))
    files += [(str(first.relative_to(root).with_suffix("")), first, size) for first, size in shards.values()]
    for folder, size in folders.items():
        if _size(folder / "config.json", inside) is not None:
            files.append((str(folder.relative_to(root)), folder, size))
    yield from sorted(files)


def _walk(root: Path) -> Iterator[Path]:
    """The files below a folder, hidden ones aside. Links to folders are not followed."""
    left = MOST
    folders = [(root, 0)]
    while folders:
        folder, depth = folders.pop()
        for entry in sorted(_entries(folder), key=lambda entry: entry.name):
            left -= 1
            if left < 0:
                return
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < DEEP:
                    folders.append((Path(entry.path), depth + 1))
            else:
                yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it is missing or may not be read."""
    found: list[os.DirEntry[str]] = []
    with suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry)
            if len(found) > MOST:
                break
    return found


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _size(path: Path, inside: str) -> int | None:
    """Bytes of a regular file; None for what is none, or a link that leads out of the folder `inside`."""
    real = os.path.realpath(path)
    if os.path.commonpath([real, inside]) != inside or not os.path.isfile(real):
        return None
    try:
        return os.stat(real).st_size
    except OSError:
        return None
