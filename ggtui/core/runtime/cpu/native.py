"""The one place that imports the compiled module, and turns its status codes into exceptions."""

from __future__ import annotations

import sys
from typing import Any

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError

try:
    from ggtui._native import ffi as _ffi
    from ggtui._native import lib as _lib
except ImportError as error:
    raise MissingPartError(
        f"the compiled part of ggtui does not load ({error}); build it with: pip install --force-reinstall ggtui, "
        "or in a clone: make build"
    ) from error

ffi: Any = _ffi
lib: Any = _lib


def lib_file() -> str:
    """The file of the compiled module."""
    return str(sys.modules["ggtui._native"].__file__)


def text(c_string: Any) -> str:
    """A C string as Python text; "" for NULL."""
    return ffi.string(c_string).decode("utf-8", "replace") if c_string else ""


def last_error() -> str:
    """The sentence the last failed call of this thread left."""
    return text(lib.gg_last_error())


def check(status: int) -> None:
    """Raise GgtuiError with C's own sentence unless `status` is GG_OK."""
    if status != lib.GG_OK:
        raise GgtuiError(last_error() or f"the compiled part failed with status {status}")


OP_NUMBERS: dict[str, int] = {text(lib.gg_op_name(i)): i for i in range(lib.gg_n_ops())}

ISAS: tuple[str, ...] = tuple(text(lib.gg_isa_name(i)) for i in range(lib.gg_n_isas()))
"""The instruction sets of every machine, by number; of one machine the best is last."""


def compiled_isas() -> tuple[str, ...]:
    """The instruction sets that are a part of this build."""
    return tuple(name for i, name in enumerate(ISAS) if lib.gg_isa_compiled(i))


def usable_isas() -> tuple[str, ...]:
    """Of these the ones that this processor has, best last."""
    return tuple(name for i, name in enumerate(ISAS) if lib.gg_isa_usable(i))


def isa_index(name: str | None) -> int:
    """Number of the instruction set called `name`; of the best usable one for None.

    Raises UsageError for an unknown name and MissingPartError for one this processor or build lacks.
    """
    usable = usable_isas()
    if name is None:
        return ISAS.index(usable[-1])
    if name not in ISAS:
        raise UsageError(f"isa {name!r}: choose one of {', '.join(ISAS)}")
    if name not in usable:
        raise MissingPartError(f"isa {name}: not on this machine; usable here: {', '.join(usable)}")
    return ISAS.index(name)


ROW_KERNELS: dict[str, int] = {text(lib.gg_row_kernel_name(i)): i for i in range(lib.gg_n_row_kernels())}
"""Numbers of the kernels over rows, for gg_call_row."""
