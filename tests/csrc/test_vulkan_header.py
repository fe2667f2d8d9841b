"""csrc/vulkan/vk.h, which is our own, says what Khronos' header says: every value, type, size and place.

Both can't be included at once, so programs are made of what vk.h declares, one for each header, that print what they
see. Types are compared by the compiler.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

CSRC = Path(__file__).resolve().parent.parent.parent / "ggtui" / "csrc"
OURS, THEIRS = "vulkan/vk.h", "vulkan/vulkan_core.h"
PARTS = ("vk.h", "vk_enums.h", "vk_limits.h", "vk_structs.h", "vk_functions.h")
# They are nothing, or stand for any handle.
SPELLED_OTHERWISE = {"VK_NULL_HANDLE", "VKAPI_PTR", "VKAPI_ATTR", "VKAPI_CALL"}


class Member(NamedTuple):
    struct: str
    name: str
    type: str  # as in `type (*pointer)suffix`
    suffix: str  # of arrays


class Header(NamedTuple):
    """What vk.h declares. Every statement of it is one of these, or the parser fails."""

    constants: list[str]  # of enums and macros that are numbers
    strings: list[str]  # macros that are texts
    types: list[str]  # those that have a size
    members: list[Member]
    functions: dict[str, str]  # name of a PFN -> its type


def text() -> str:
    whole = "".join((CSRC / "vulkan" / part).read_text() for part in PARTS)
    return re.sub(r"/\*.*?\*/", "", whole, flags=re.DOTALL).replace("\\\n", " ")


def members(struct: str, body: str) -> list[Member]:
    found = []
    for line in filter(None, (line.strip() for line in body.split(";"))):
        first, *others = [part.strip() for part in line.split(",")]
        match = re.fullmatch(r"(.*?[ *])(\w+)((?:\[\w+\])*)", first, re.DOTALL)
        assert match, f"{struct}: {line!r} is no member"
        kind = match[1].strip()
        found.append(Member(struct, match[2], kind, match[3]))
        assert not (others and "*" in kind), f"{struct}: {line!r}: pointers stand alone"
        for other in others:
            match = re.fullmatch(r"(\w+)((?:\[\w+\])*)", other)
            assert match, f"{struct}: {other!r} is no member"
            found.append(Member(struct, match[1], kind, match[2]))
    return found


def parsed(source: str) -> Header:
    header = Header([], [], [], [], {})
    plain: list[str] = []
    for line in source.splitlines():
        macro = re.match(r"#define (\w+)(\(.*?\))?(.*)", line)
        if macro and not macro[2] and macro[3] and macro[1] not in SPELLED_OTHERWISE:
            (header.strings if '"' in macro[3] else header.constants).append(macro[1])
        if not line.startswith("#"):
            plain.append(line)

    def handle(match: re.Match[str]) -> str:
        header.types.append(match[1])
        return ""

    def enum(match: re.Match[str]) -> str:
        header.types.append(match[1])
        for row in filter(None, (row.strip() for row in match[2].split(","))):
            value = re.fullmatch(r"(\w+) = -?(?:0x)?[0-9A-F]+", row)
            assert value, f"{match[1]}: {row!r} is no value"
            header.constants.append(value[1])
        return ""

    def struct(match: re.Match[str]) -> str:
        header.types.append(match[1])
        header.members.extend(members(match[1], match[2]))
        return ""

    def function(match: re.Match[str]) -> str:
        header.functions[match[2]] = f"{match[1]} (VKAPI_PTR *)({match[3]})"
        return ""

    def plain_type(match: re.Match[str]) -> str:
        header.types.extend(name.strip() for name in match[1].split(","))
        return ""

    rest = "\n".join(plain)
    for pattern, seen in (
        (r"VK_DEFINE_(?:NON_DISPATCHABLE_)?HANDLE\((\w+)\)", handle),
        (r"typedef enum (\w+) \{([^}]*)\} \1;", enum),
        (r"typedef (?:struct|union) (\w+) \{([^}]*)\} \1;", struct),
        (r"typedef (\w+) \(VKAPI_PTR \*(\w+)\)\(([^)]*)\);", function),
        (r"typedef struct (\w+) \1;", lambda match: ""),
        (r"typedef \w+ ([\w, ]+);", plain_type),
    ):
        rest = re.sub(pattern, seen, rest)
    assert not rest.strip(), f"the test knows no such declaration: {rest.strip()[:200]}"
    return header


def program(header: Header, include: str) -> str:
    """Prints a line for everything that the header declares, by the include it is given."""
    lines = [f"#include <stdio.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <{include}>\nint main(void) {{"]

    def say(name: str, value: str) -> None:
        lines.append(f'printf("{name} %lld\\n", (long long)({value}));')

    for name in header.constants:
        say(name, name)
    for name in header.strings:
        lines.append(f'printf("{name} %s\\n", {name});')
    for name in header.types:
        say(f"sizeof {name}", f"sizeof({name})")
    for struct, name, kind, suffix in header.members:
        say(f"offsetof {struct}.{name}", f"offsetof({struct}, {name})")
        say(f"sizeof {struct}.{name}", f"sizeof((({struct} *)0)->{name})")
        pointer = f"{kind} (*){suffix}" if suffix else f"{kind} *"
        say(f"type {struct}.{name}", f"_Generic(&(({struct} *)0)->{name}, {pointer}: 1, default: 0)")
    for name, kind in header.functions.items():
        say(f"type {name}", f"_Generic(({name})0, {kind}: 1, default: 0)")
    for variant, major, minor, patch in ((0, 1, 3, 239), (5, 127, 1023, 4095)):
        version = f"VK_MAKE_API_VERSION({variant}, {major}, {minor}, {patch})"
        for part in ("MAJOR", "MINOR", "PATCH"):
            say(f"{part} of {version}", f"VK_API_VERSION_{part}({version})")
        say(version, version)
    return "\n".join([*lines, "return 0;\n}\n"])


def printed(source: str, folder: Path, root: Path = CSRC) -> list[str]:
    """What a program prints that finds our header under `root`."""
    (folder / "print.c").write_text(source)
    compiler = shlex.split(sysconfig.get_config_var("CC"))
    flags = ["-std=c11", "-D_GNU_SOURCE", f"-I{root}", "-O0", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run([*compiler, *flags, "-o", "print", "print.c"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    return subprocess.run([folder / "print"], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture
def khronos_header() -> None:
    """Is there, or there is nothing to hold ours against."""
    compiler = shlex.split(sysconfig.get_config_var("CC"))
    command = [*compiler, "-fsyntax-only", "-xc", "-"]
    if subprocess.run(command, input=f"#include <{THEIRS}>\n", text=True, capture_output=True).returncode != 0:
        pytest.skip("Khronos' header is not installed: apt-get install libvulkan-dev")


@pytest.mark.bare
@pytest.mark.usefixtures("khronos_header")
def test_our_header_says_what_theirs_says(tmp_path: Path) -> None:
    header = parsed(text())
    assert len(header.constants) > 150 and len(header.types) > 110 and len(header.functions) > 60
    assert len(header.members) > 480
    ours, theirs = (printed(program(header, include), tmp_path) for include in (OURS, THEIRS))
    assert ours == theirs
    assert not [line for line in theirs if line.startswith("type ") and line.endswith(" 0")]


def test_every_function_that_is_loaded_has_its_type() -> None:
    rows = re.findall(r"^GG_VK_\w+\((\w+)\)$", (CSRC / "vulkan/functions.def").read_text(), re.M)
    assert len(rows) == len(set(rows)) > 60
    assert {f"PFN_vk{row}" for row in rows} | {
        "PFN_vkVoidFunction",
        "PFN_vkGetInstanceProcAddr",
        "PFN_vkDebugUtilsMessengerCallbackEXT",
    } == set(parsed(text()).functions)


@pytest.mark.parametrize(
    "wrong",
    [
        ("maxUniformBufferRange, maxStorageBufferRange", "maxStorageBufferRange, maxUniformBufferRange"),
        ("VK_ERROR_DEVICE_LOST = -4", "VK_ERROR_DEVICE_LOST = -40"),
        ("const VkFence *, VkBool32", "const VkFence *, uint64_t"),
        ("uint32_t mapEntryCount", "uint64_t mapEntryCount"),
        ("heapBudget[VK_MAX_MEMORY_HEAPS]", "heapBudget[VK_MAX_MEMORY_TYPES]"),
    ],
)
@pytest.mark.bare
@pytest.mark.usefixtures("khronos_header")
def test_an_error_in_our_header_is_found(tmp_path: Path, wrong: tuple[str, str]) -> None:
    folder = tmp_path / "vulkan"
    folder.mkdir()
    for part in PARTS:
        (folder / part).write_text((CSRC / "vulkan" / part).read_text().replace(*wrong))
    whole = text().replace(*wrong)
    assert whole != text()
    header = parsed(whole)
    assert printed(program(header, OURS), tmp_path, tmp_path) != printed(program(header, THEIRS), tmp_path)
