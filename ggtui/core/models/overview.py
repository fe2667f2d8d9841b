"""What a model that lies on this machine is, without loading it: for lists of models to choose from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from ggtui.core.errors import GgtuiError, ModelFileError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.places import Found
from ggtui.core.models import check_model

TOKENS, POSITIONS, OUTPUT = "token_embd.weight", "position_embd.weight", "output.weight"
_TYPES = 2


@dataclass(frozen=True, slots=True)
class Overview:
    """A model as its file describes it.

    types    the two that most of its bytes are in, the larger first
    weights  bytes of all its tensors; token_bytes those that the evaluation of one token reads
    problem  why ggtui does not run it; None where it does
    """

    found: Found
    architecture: str | None = None
    types: tuple[str, ...] = ()
    weights: int = 0
    token_bytes: int = 0
    problem: str | None = None


def overview(found: Found) -> Overview:
    """Of a model that was found. What is wrong with its file is a `problem`, and nothing is raised."""
    known = Overview(found)
    try:
        with open_model(found.path) as file:
            known = _of_file(found, file)
            check_model(file)
    except ModelFileError as error:
        return replace(known, problem=f"{error.field}: {error.problem}")
    except (GgtuiError, OSError) as error:
        return replace(known, problem=str(error))
    return known


def _of_file(found: Found, file: ModelFile) -> Overview:
    architecture = file.metadata.get("general.architecture")
    types = defaultdict[str, int](int)
    for info in file.tensors.values():
        types[info.type.name] += info.n_bytes
    weights = sum(types.values())
    # Of a table with a row for each token or position one row is read; where there is no other matrix for the logits,
    # all of the tokens' is.
    tables = [POSITIONS] if OUTPUT not in file.tensors else [POSITIONS, TOKENS]
    read_by_rows = sum(file.tensors[name].n_bytes for name in tables if name in file.tensors)
    return Overview(
        found,
        architecture if isinstance(architecture, str) else None,
        tuple(sorted(types, key=lambda name: -types[name])[:_TYPES]),
        weights,
        weights - read_by_rows,
    )
