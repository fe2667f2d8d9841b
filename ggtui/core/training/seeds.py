"""Random numbers of a run: each use has its own, which depend on the seed and on that use alone. So a run that goes on
sees those it would have seen, whatever was drawn before."""

from __future__ import annotations

import numpy as np

from ggtui.core.engine.sampler import MAX_SEED
from ggtui.core.errors import UsageError


def generator(seed: int, *use: int) -> np.random.Generator:
    """Those of the numbers in `use`. Raises UsageError for a seed out of range."""
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed {seed}: must be 0 to {MAX_SEED}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *use])))
