"""Every case of the table of cases, every way. Those whose speed is taken are large: test_check.py runs them once."""

from __future__ import annotations

import pytest
from every_way import run

from ggtui.core.runtime.cases import CASES, Case


@pytest.mark.parametrize("case", [case for case in CASES if not case.timed], ids=str)
def test_op(case: Case) -> None:
    run(case)
