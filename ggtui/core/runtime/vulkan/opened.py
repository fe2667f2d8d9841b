"""A Vulkan device that was opened: its memory, and the shaders that were made ready on it."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.core.graph.tensor import Bytes
from ggtui.core.runtime.cpu.native import check, ffi, last_error, lib, text
from ggtui.core.runtime.device import ShaderCode
from ggtui.core.runtime.vulkan.devices import VulkanInfo
from ggtui.core.runtime.vulkan.kernels.base import Kernel

USES = {"local": lib.GG_VK_LOCAL, "shared": lib.GG_VK_SHARED, "read back": lib.GG_VK_READ_BACK}


class Memory:
    """A piece of a device's memory. `use`: "local" is for shaders alone; "shared" is written, "read back" read by the
    processor too, who then sees it as `host`."""

    def __init__(self, opened: Opened, n_bytes: int, use: str) -> None:
        handle = lib.gg_vk_buffer_new(opened.handle, n_bytes, USES[use])
        if handle == ffi.NULL:
            raise GgtuiError(f"vulkan: {last_error()}")
        self.opened, self.n_bytes = opened, n_bytes
        self.handle = ffi.gc(handle, lib.gg_vk_buffer_free)
        self.address = int(lib.gg_vk_buffer_address(handle))
        self.host: Bytes | None = None
        if use != "local":
            kept = self.handle  # by whoever holds an array of it
            seen = ffi.gc(ffi.cast("char *", lib.gg_vk_buffer_host(handle)), lambda _, kept=kept: None)
            self.host = np.frombuffer(ffi.buffer(seen, n_bytes), np.uint8)

    def upload(self, at: int, data: Bytes) -> None:
        data = np.ascontiguousarray(data)
        check(lib.gg_vk_upload(self.handle, at, ffi.from_buffer(data), data.nbytes))

    def download(self, at: int, n_bytes: int) -> Bytes:
        data = np.empty(n_bytes, np.uint8)
        check(lib.gg_vk_download(self.handle, at, ffi.from_buffer(data), n_bytes))
        return data

    def copy(self, source: int, target: int, n_bytes: int) -> None:
        """Within it, to another place that does not overlap."""
        check(lib.gg_vk_copy(self.handle, source, self.handle, target, n_bytes))


class Opened:
    """See above. Raises GgtuiError where it can't be opened."""

    def __init__(self, info: VulkanInfo) -> None:
        handle = lib.gg_vk_open(info.index)
        if handle == ffi.NULL:
            raise GgtuiError(f"vulkan:{info.index}: {last_error()}")
        self.info, self.lost = info, False
        self.handle = ffi.gc(handle, lib.gg_vk_close)
        self._pipelines: dict[Any, Any] = {}
        self._lock = Lock()

    def pipeline(self, kernel: Kernel) -> Any:
        """The shader of a kernel with its constants, made ready once."""
        key = (kernel.shader, kernel.group, kernel.constants, kernel.subgroup)
        with self._lock:
            if key not in self._pipelines:
                made = lib.gg_vk_pipeline_new(self.handle, *_as_c(kernel))
                if made == ffi.NULL:
                    raise GgtuiError(f"vulkan: {last_error()}")
                self._pipelines[key] = ffi.gc(made, lib.gg_vk_pipeline_free)
            return self._pipelines[key]

    def code(self, kernel: Kernel) -> ShaderCode:
        """The shader of a kernel, and what the driver says of it, for which it is compiled anew."""
        made = lib.gg_vk_pipeline_text(self.handle, *_as_c(kernel))
        if made == ffi.NULL:
            raise GgtuiError(f"vulkan: {last_error()}")
        told = text(ffi.gc(made, lib.gg_vk_text_free))
        words = bytes(shader_words(kernel.shader))
        return ShaderCode(kernel.shader, (kernel.group, *kernel.constants), kernel.subgroup, words, told)


def _as_c(kernel: Kernel) -> tuple[Any, ...]:
    """Name, words, constants and subgroups of a kernel's shader, as C is told them."""
    words, constants = shader_words(kernel.shader), [c & 0xFFFFFFFF for c in (kernel.group, *kernel.constants)]
    return (
        kernel.shader.encode(), ffi.from_buffer("uint32_t[]", words), len(words),
        ffi.new("uint32_t[]", constants), len(constants), kernel.subgroup,
    )  # fmt: skip


def shader_words(name: str) -> Any:
    """The SPIR-V of a shader of this build. Raises MissingPartError where it was built without."""
    n_bytes = ffi.new("int64_t *")
    for i in range(lib.gg_vk_n_shader()):
        if text(lib.gg_vk_shader_name(i)) == name:
            words = lib.gg_vk_shader_words(i, n_bytes)
            return ffi.buffer(words, n_bytes[0])
    raise MissingPartError(
        f"vulkan: this ggtui was built without the shader {name}; install glslc and build it anew, or use --device cpu"
    )
