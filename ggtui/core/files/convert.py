"""Writes a model anew: in another format, with its matrices in another tensor type, or both.

One tensor goes through memory at a time, a few rows of it in each thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import UsageError
from ggtui.core.files.gguf import DEFAULT_ALIGNMENT
from ggtui.core.files.gguf_writer import OutTensor, gguf_bytes, write_gguf
from ggtui.core.files.legacy_writer import write_legacy
from ggtui.core.files.mixes import FILE_TYPES, Mix, fitting, mix_or_type
from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.cores import usable_cores
from ggtui.core.runtime.cpu.codec import decode_rows, encode_rows
from ggtui.core.vocab import vocabulary

Bytes = npt.NDArray[np.uint8]

_CHUNK = 1 << 20  # weights a thread converts at a time
_F16_MAX = 65504.0  # smaller values overflow in no type: a scale is at most a value

_QUANTIZATION_VERSION = 2


@dataclass(frozen=True, slots=True)
class ConvertedTensor:
    """What became of a tensor.

    fallback         its rows are no whole number of blocks of the type that was asked for
    rmse, max_error  how far its values are from what they were, root mean square and greatest; None if not asked for
    """

    name: str
    ne: tuple[int, int, int, int]
    src_type: str
    type: str
    src_bytes: int
    n_bytes: int
    fallback: bool
    rmse: float | None
    max_error: float | None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `convert` did: its tensors, in their order."""

    tensors: tuple[ConvertedTensor, ...]

    @property
    def src_bytes(self) -> int:
        """Bytes of all tensors before."""
        return sum(t.src_bytes for t in self.tensors)

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors now."""
        return sum(t.n_bytes for t in self.tensors)


def convert(
    src: ModelFile,
    dst: str | Path,
    type: str | TensorType | None = None,
    *,
    types: Mapping[str, TensorType] | None = None,
    metadata: Mapping[str, Any] | None = None,
    errors: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write `src` as GGUF or, where `dst` ends in .bin, as a legacy ggml file.

    Matrices become `type`, or what the mix of that name says (see ggtui.core.files.mixes), or keep theirs without one;
    vectors, norms and position embeddings become f32. types: of matrices by name, before all that.
    metadata: keys to add or to replace. errors: measure those of each tensor. progress: called with the number of
    weights that are done and of all. Raises UsageError for a file `dst` that exists (unless `overwrite`) and for what
    the type or the format cannot hold, ModelFileError for weights that are not finite, GgtuiError if writing fails.
    """
    dst = Path(dst)
    if dst.is_file() and not overwrite:  # sooner than when it is opened
        raise UsageError(f"{dst}: exists; choose another name or let it be overwritten")
    wanted = None if type is None else mix_or_type(type)
    n_threads = usable_cores() if threads is None else threads
    with ThreadPoolExecutor(n_threads) as pool:
        converter = _Converter(src, wanted, types or {}, errors, progress, partial(_in_order, pool, 2 * n_threads))
        about = {**src.metadata, **converter.about(), **(metadata or {})}
        about = {key: value for key, value in about.items() if value is not None}
        if dst.suffix == ".bin":
            vocabulary(about, src.path)  # refuses what is none
        write = write_legacy if dst.suffix == ".bin" else write_gguf
        write(dst, about, converter.tensors(), overwrite=overwrite)
    return Conversion(tuple(converter.reports))


def bytes_beside(src: ModelFile, matrices: Iterable[str]) -> int:
    """At most how many bytes a GGUF file of the model has beside those of these matrices, whatever types they get."""
    converter = _Converter(src, TYPES["f32"], {}, False, None, map)
    tensors = {t.name: t for t in converter.tensors()}
    told = gguf_bytes({**src.metadata, **converter.about()}, tensors.values())
    return told - sum(tensors[name].n_bytes - DEFAULT_ALIGNMENT for name in matrices)


def _shared_by(src: ModelFile) -> int:
    """How many query heads share keys and values; of the layers the most."""
    arch = src.metadata.get("general.architecture")
    heads, kv = (src.metadata.get(f"{arch}.attention.{key}") for key in ("head_count", "head_count_kv"))
    counts = [np.atleast_1d(np.asarray(n)) for n in (heads, kv)]
    fits = all(n.dtype.kind in "iu" and n.size and (n > 0).all() for n in counts)
    return int(counts[0].max() // counts[1].min()) if fits else 1


def is_matrix(name: str, n_rows: int) -> bool:
    """Whether a tensor is stored in the type that is asked for; all others become f32."""
    return n_rows > 1 and "norm" not in name and not name.startswith("position_embd")


class _Part(NamedTuple):
    """Some rows of a tensor, converted: `n` weights, the sum of their squared errors, and the greatest error."""

    n: int
    data: Bytes
    squares: float
    worst: float


class _Converter:
    """Converts the tensors of `src` one after the other. `in_order` maps a function over parts of one."""

    def __init__(
        self,
        src: ModelFile,
        wanted: Mix | TensorType | None,
        own: Mapping[str, TensorType],
        errors: bool,
        progress: Callable[[int, int], None] | None,
        in_order: Callable[[Callable[[int], _Part], Iterable[int]], Iterator[_Part]],
    ) -> None:
        self.src, self.wanted, self.own = src, wanted, own
        self.errors, self.progress, self.in_order = errors, progress, in_order
        self.layers = len({name.split(".")[1] for name in src.tensors if name.startswith("blk.")})
        self.shared_by = _shared_by(src)
        self.asked = {name: self._asked(info) for name, info in src.tensors.items()}
        self.types = {name: fitting(self.asked[name], info.ne[0]) for name, info in src.tensors.items()}
        self.total, self.done = sum(prod(info.ne) for info in src.tensors.values()), 0
        self.reports: list[ConvertedTensor] = []

    def _asked(self, info: TensorInfo) -> TensorType:
        """The type a tensor is to become, if its rows fit."""
        if not is_matrix(info.name, info.ne[1]):
            return TYPES["f32"]
        if info.name in self.own:
            return self.own[info.name]
        if isinstance(self.wanted, Mix):
            tied = "output.weight" not in self.src.tensors
            return self.wanted.type_of(info.name, self.layers, tied=tied, shared_by=self.shared_by)
        return self.wanted or info.type

    def about(self) -> dict[str, int | None]:
        """What metadata says of the types: the mix, or the one that most of the matrices' weights have."""
        weights = Counter[str]()
        for name, info in self.src.tensors.items():
            weights[self.types[name].name] += prod(info.ne) if is_matrix(info.name, info.ne[1]) else 0
        most = max(weights, key=weights.__getitem__, default="f32")
        number = self.wanted.file_type if isinstance(self.wanted, Mix) else FILE_TYPES.get(most)
        return {"general.file_type": number, "general.quantization_version": _QUANTIZATION_VERSION}

    def tensors(self) -> Iterator[OutTensor]:
        """The tensors to write."""
        for info in self.src.tensors.values():
            n_dims = max((i + 1 for i, n in enumerate(info.ne) if n > 1), default=1)
            yield OutTensor(info.name, self.types[info.name], info.ne[:n_dims], partial(self._chunks, info))

    def _chunks(self, info: TensorInfo) -> Iterator[Bytes]:
        type = self.types[info.name]
        rows, step = self.src.rows(info.name), max(1, _CHUNK // info.ne[0])
        squares = worst = 0.0
        for part in self.in_order(lambda i: self._convert(info, i, rows[i : i + step]), range(0, len(rows), step)):
            squares, worst = squares + part.squares, max(worst, part.worst)
            self.done += part.n
            if self.progress is not None:
                self.progress(self.done, self.total)
            yield part.data
        n_bytes = len(rows) * type.row_bytes(info.ne[0])
        fallback = self.wanted is not None and type is not self.asked[info.name]
        report = (info.name, info.ne, info.type.name, type.name, info.n_bytes, n_bytes, fallback)
        measured = (sqrt(squares / prod(info.ne)), worst) if self.errors else (None, None)
        self.reports.append(ConvertedTensor(*report, *measured))

    def _convert(self, info: TensorInfo, start: int, rows: Bytes) -> _Part:
        """Converts `rows`, of which the first is row `start` of the tensor."""
        type, n = self.types[info.name], len(rows) * info.ne[0]
        x = decode_rows(info.type, rows)
        low, high = float(x.min()), float(x.max())  # NaN if any weight is
        if not np.isfinite([low, high]).all():
            row, i = divmod(int(np.argmin(np.isfinite(x))), info.ne[0])
            problem = f"element {i} of row {start + row} is {x[row, i]}; the model is damaged, download it again"
            self.src.refuse(info.name, problem)
        if type is info.type:
            return _Part(n, rows, 0.0, 0.0)
        data = encode_rows(type, x)
        if not self.errors and max(-low, high) < _F16_MAX:
            return _Part(n, data, 0.0, 0.0)
        error = decode_rows(type, data) - x
        worst = float(np.abs(error).max())
        if not np.isfinite(worst):
            value = low if -low > high else high
            problem = f"cannot hold {value:g}, which is in {info.name}; choose another type"
            raise UsageError(f"type {type.name}: {problem}")
        return _Part(n, data, float(np.square(error, dtype=np.float64).sum()), worst)


def _in_order(
    pool: ThreadPoolExecutor, ahead: int, function: Callable[[int], _Part], items: Iterable[int]
) -> Iterator[_Part]:
    """`function` of each item, in their order, of which `ahead` are under way or done at a time."""
    waiting: deque[Future[_Part]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
