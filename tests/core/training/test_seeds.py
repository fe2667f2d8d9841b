from __future__ import annotations

import pytest

from ggtui.core.errors import UsageError
from ggtui.core.training.seeds import generator


def test_each_use_has_its_own() -> None:
    drawn = [generator(seed, *use).random() for seed, use in ((0, ()), (0, (1,)), (0, (1, 2)), (0, (2, 1)), (1, (1,)))]
    assert len(set(drawn)) == 5
    assert generator((1 << 64) - 1, 1).random() == generator((1 << 64) - 1, 1).random()


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(UsageError, match=f"seed {seed}: must be 0 to 18446744073709551615"):
        generator(seed)
