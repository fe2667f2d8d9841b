"""What Vulkan says of its devices, held against vulkaninfo, and what is said where it is missing or broken.

Vulkan is loaded once in a process, so most of it is in processes of their own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path

import pytest

from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.vulkan.devices import KINDS, VulkanInfo, vulkan_devices

pytestmark = pytest.mark.bare

CSRC = Path(__file__).resolve().parents[4] / "ggtui" / "csrc"
INSTALL = "install mesa-vulkan-drivers vulkan-tools vulkan-validationlayers"
SHOW = """
import json
from ggtui.core.errors import MissingPartError
from ggtui.core.runtime.vulkan.devices import vulkan_devices
said = []
for _ in range(2):
    try:
        said.append([device.name for device in vulkan_devices()])
    except MissingPartError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def python(code: str, **environ: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GGTUI_", "VK_"))}
    answer = subprocess.run([sys.executable, "-c", code], env=kept | environ, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout


def said(**environ: str) -> str:
    """The line that is said where there is no Vulkan; the second time it is the same."""
    first, second = json.loads(python(SHOW, **environ))
    assert first == second and isinstance(first, str)
    assert len(first) < 250 and "; " in first  # what C keeps of a line is not the whole of a longer one
    return first


@pytest.fixture
def devices() -> list[VulkanInfo]:
    try:
        return vulkan_devices()
    except MissingPartError as error:
        pytest.skip(f"{error}: {INSTALL}")


def test_devices_are_as_vulkaninfo_says(devices: list[VulkanInfo]) -> None:
    if shutil.which("vulkaninfo") is None:
        pytest.skip(INSTALL)
    answer = subprocess.run(["vulkaninfo"], capture_output=True, text=True, env=os.environ | {"DISPLAY": ""})
    parts = re.split(r"^GPU\d+:$", answer.stdout[answer.stdout.index("Device Properties and Extensions") :], flags=re.M)
    assert len(parts) - 1 == len(devices)
    for device, part in zip(devices, parts[1:], strict=True):
        facts = dict(re.findall(r"^\s*(\w+)\s*= (.*)$", part, re.M))
        assert facts["deviceName"] == device.name
        assert facts["deviceType"].startswith(f"PHYSICAL_DEVICE_TYPE_{device.kind.upper()}")
        assert device.version in facts["apiVersion"]
        if device.missing:
            continue
        assert f"{facts['driverName']} {facts['driverInfo']}".strip() == device.driver
        for ours, theirs in {
            "max_allocation": "maxMemoryAllocationSize", "max_range": "maxStorageBufferRange",
            "max_invocations": "maxComputeWorkGroupInvocations", "max_shared": "maxComputeSharedMemorySize",
            "subgroup": "subgroupSize",
        }.items():  # fmt: skip
            assert int(facts[theirs], 0) == getattr(device, ours), ours
        assert float(facts["timestampPeriod"]) == pytest.approx(device.tick_ns, rel=1e-4)
        for ours, theirs in {
            "f16": "shaderFloat16", "i8": "shaderInt8", "i16": "shaderInt16", "i64": "shaderInt64",
            "storage8": "storageBuffer8BitAccess", "storage16": "storageBuffer16BitAccess",
            "device_address": "bufferDeviceAddress", "scalar_layout": "scalarBlockLayout",
        }.items():  # fmt: skip
            assert (facts[theirs] == "true") == getattr(device, ours), ours
        assert ("VK_EXT_memory_budget" in part) == device.memory_budget
        assert f"0x{device.heap:08x}" in part
        assert f"timestampValidBits          = {device.timestamp_bits}" in part


def test_devices_are_in_order(devices: list[VulkanInfo]) -> None:
    for i, device in enumerate(devices):
        assert device.index == i and device.kind in KINDS and device.name
        if not device.missing:
            assert device.budget > 0 and device.heap > 0
            assert 0 < device.subgroup_least <= device.subgroup <= device.subgroup_most
    assert [device.name for device in vulkan_devices()] == [device.name for device in devices]
    info = native.ffi.new("gg_vk_info *")
    for i in (-1, len(devices)):
        assert native.lib.gg_vk_info_of(i, info) == native.lib.GG_FAILED
        assert f"no device {i}: they are 0 to {len(devices) - 1}" in native.last_error()


def test_mesa_for_the_processor_has_all_that_is_needed(devices: list[VulkanInfo]) -> None:
    found = [device for device in devices if device.name.startswith("llvmpipe")]
    if not found:
        pytest.skip(INSTALL)
    assert (found[0].missing, found[0].kind) == ("", "cpu")
    assert not [
        name for name, value in asdict(found[0]).items() if value == 0 and name.startswith(("max", "sub", "tick"))
    ]


def test_a_driver_that_is_missing() -> None:
    line = said(VK_ICD_FILENAMES="/nonexistent.json", VK_DRIVER_FILES="/nonexistent.json")
    assert line.startswith("no Vulkan: no driver found (vkCreateInstance: VK_ERROR_INCOMPATIBLE_DRIVER); install")


def test_a_driver_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "libbroken.so").write_text("nothing")
    icd = {"library_path": str(tmp_path / "libbroken.so"), "api_version": "1.3.230"}
    (tmp_path / "icd.json").write_text(json.dumps({"file_format_version": "1.0.0", "ICD": icd}))
    line = said(VK_ICD_FILENAMES=str(tmp_path / "icd.json"), VK_DRIVER_FILES=str(tmp_path / "icd.json"))
    assert line.startswith("no Vulkan: no driver found (vkCreateInstance: VK_ERROR_INCOMPATIBLE_DRIVER); install")


@pytest.mark.skipif(sys.platform == "darwin", reason="finds libraries by other rules")
def test_a_library_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "libvulkan.so.1").write_text("nothing")
    line = said(LD_LIBRARY_PATH=str(tmp_path))
    assert line.startswith("no Vulkan: libvulkan.so.1 does not load (") and "; install libvulkan1" in line


def library(path: Path, source: str, *flags: str) -> None:
    compiler = shlex.split(sysconfig.get_config_var("CC"))
    command = [*compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", "-x", "c", "-", "-o", str(path), *flags]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="finds libraries by other rules")
def test_a_library_that_is_missing(tmp_path: Path) -> None:
    source = """
        #include <dlfcn.h>
        #include <string.h>
        void *dlopen(const char *name, int how) {
            void *(*real)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
            return real(name && strcmp(name, "libvulkan.so.1") == 0 ? "not/there/libvulkan.so.1" : name, how);
        }"""
    library(tmp_path / "hide.so", source)
    line = said(LD_PRELOAD=str(tmp_path / "hide.so"))
    assert line.startswith("no Vulkan: libvulkan.so.1 is not there; install libvulkan1") and "driver" in line


@pytest.mark.skipif(sys.platform == "darwin", reason="finds libraries by other rules")
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("0", "the library has no vkCreateInstance; update it"),
        ("version", "the library is of Vulkan 1.1 and ggtui needs 1.2; update it"),
        ("fails", "the driver failed (vkEnumerateInstanceVersion: VK_ERROR_OUT_OF_HOST_MEMORY); install"),
    ],
)
def test_a_library_that_is_no_use(tmp_path: Path, body: str, problem: str) -> None:
    source = """
        static int version(unsigned *v) { *v = 1 << 22 | 1 << 12; return 0; }
        static int fails(unsigned *v) { (void)v; return -1; }
        void *vkGetInstanceProcAddr(void *i, const char *name) { (void)version, (void)fails; return BODY; }"""
    library(tmp_path / "libvulkan.so.1", source, f"-DBODY={body}")
    assert said(LD_LIBRARY_PATH=str(tmp_path)).startswith(f"no Vulkan: {problem}")


@pytest.mark.skipif(sys.platform == "darwin", reason="finds libraries by other rules")
def test_a_library_of_another_kind(tmp_path: Path) -> None:
    library(tmp_path / "libvulkan.so.1", "int nothing;")
    assert "has no vkGetInstanceProcAddr; install" in said(LD_LIBRARY_PATH=str(tmp_path))


FEW = """
import dataclasses, json
from ggtui.core.runtime.vulkan.devices import vulkan_devices
print(json.dumps([dataclasses.asdict(device) for device in vulkan_devices()]))
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="finds libraries by other rules")
def test_what_devices_lack(tmp_path: Path) -> None:
    source = (Path(__file__).parent / "few.c").read_text()
    library(tmp_path / "libvulkan.so.1", source, f"-I{CSRC}", "-std=c11", "-Wall", "-Wextra", "-Werror")
    old, bare, new = (VulkanInfo(**device) for device in json.loads(python(FEW, LD_LIBRARY_PATH=str(tmp_path))))
    assert (old.name, old.version, old.kind, old.missing) == ("nnn", "1.1.7", "discrete", "Vulkan 1.2")
    assert (old.driver, old.heap, old.queue_family) == ("", 0, -1)
    features = (
        "bufferDeviceAddress, scalarBlockLayout, shaderInt64, shaderInt16, shaderInt8, shaderFloat16, "
        "storageBuffer8BitAccess, storageBuffer16BitAccess, subgroups of 8, subgroup arithmetic, subgroup shuffle"
    )
    assert bare.missing == f"a compute queue, {features}"
    assert (bare.version, bare.driver, bare.queue_family) == ("1.2.0", "", -1)
    assert new.missing == features
    assert (new.name, new.driver) == ("n" * 255, "d" * 100 + " " + "i" * 150)
    assert (new.queue_family, new.timestamp_bits) == (3, 36)
    assert (new.memory_budget, new.heap, new.budget) == (True, 1 << 12, 1000)
    assert new.max_range == 0xFFFFFFFF


def test_a_device_is_made_and_ended(devices: list[VulkanInfo]) -> None:
    for device in devices:
        if not device.missing:
            native.check(native.lib.gg_test_vk(device.index, 0))
    with pytest.raises(GgtuiError, match="no device 99"):
        native.check(native.lib.gg_test_vk(99, 0))


VALIDATED = """
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.vulkan.devices import vulkan_devices
for device in vulkan_devices():
    native.check(native.lib.gg_test_vk(device.index, 0))
print(native.lib.gg_vk_n_validation(), native.text(native.lib.gg_vk_validation()))
native.check(native.lib.gg_test_vk(0, 2))
print(native.lib.gg_vk_n_validation(), native.text(native.lib.gg_vk_validation()))
"""


def test_validation_layers_are_heard(devices: list[VulkanInfo]) -> None:
    before, after = python(VALIDATED, GGTUI_VULKAN_VALIDATE="1").splitlines()[:2]
    assert before == "0 "
    assert after.startswith("2 ") and "VkPhysicalDeviceMemoryProperties2" in after


def test_validation_layers_that_are_missing(devices: list[VulkanInfo], tmp_path: Path) -> None:
    line = said(GGTUI_VULKAN_VALIDATE="1", VK_LAYER_PATH=str(tmp_path))
    assert "GGTUI_VULKAN_VALIDATE is 1" in line and "install vulkan-validationlayers" in line


LATE = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
def loaded():
    return "libvulkan" in Path("/proc/self/maps").read_text()
import ggtui.cli.info
from ggtui.cli import main
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.vulkan.devices import vulkan_devices
assert native.lib.gg_vk_n_validation() == 0 and native.text(native.lib.gg_vk_validation()) == ""
assert main(["ops"]) == 0
assert not loaded()
with ThreadPoolExecutor(8) as pool:
    names = set(pool.map(lambda _: tuple(device.name for device in vulkan_devices()), range(32)))
assert len(names) == 1 and loaded()
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="where a process shows no list of its libraries")
def test_vulkan_is_loaded_late_and_once(devices: list[VulkanInfo]) -> None:
    python(LATE)
