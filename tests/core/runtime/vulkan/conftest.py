"""Tests of the Vulkan device: left out where there is none, and where C is emulated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ggtui.core.errors import MissingPartError
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.several import device


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.vulkan)


@pytest.fixture(scope="session", autouse=True)
def _a_device() -> None:
    try:
        device("vulkan")
    except MissingPartError as error:
        pytest.skip(str(error))


@pytest.fixture
def context() -> Iterator[Context]:
    """Memory of the device. Where validation layers watch, they have nothing to say of what is done with it."""
    before = lib.gg_vk_n_validation()
    yield device("vulkan").context()
    assert lib.gg_vk_n_validation() == before
