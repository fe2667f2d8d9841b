"""What this machine and this ggtui have: versions, processor, instruction sets, memory, terminal. Add it to a bug
report.

examples:
  ggtui info          as text
  ggtui info --json   as data
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from ggtui.chat.folders import config_file
from ggtui.cli.flags import add_output, add_setting, resolve
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cores import processor
from ggtui.viz.text import printable_line, size

_SIZES = ("total", "available", "cgroup limit", "size", "memory")
_LIBRARIES = ("numpy", "tiktoken", "prompt_toolkit", "rich", "cffi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_setting(parser, "threads")
    add_setting(parser, "isa")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("threads", "isa"))
    facts = gather(args.threads, args.isa)
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {printable_line(_text(value))}")
    return 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {size(v) if k in _SIZES and v else _text(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return " / ".join(map(_text, value))
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool) or value is None:
        return "yes" if value else "no" if value is False else "none"
    return str(value)


def gather(threads: int | None = None, isa: str | None = None, root: Path = Path("/")) -> dict[str, Any]:
    """The facts by name: texts, numbers, and lists and tables of them. Sizes are bytes.

    threads, isa: what was asked for; `root` is where /proc and /sys are looked for.
    """
    from shutil import which

    from ggtui import __version__

    return {
        "ggtui": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})",
        "libraries": _libraries(),
        "platform": platform.platform(),
        "processor": processor(root),
        **_compute(threads, isa, root),
        "memory": memory(root),
        "built-in model": _built_in(),
        "vulkan": _vulkan(),
        "dot": which("dot"),
        "terminal": _terminal(),
        "config": _config(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("GGTUI_")},
    }


def _libraries() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _compute(threads: int | None, isa: str | None, root: Path) -> dict[str, Any]:
    """Cores and instruction sets. A compiled module that does not load is a fact too."""
    from ggtui.core.runtime.cores import cgroup_quota, usable_cores

    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = {
        "usable": usable_cores(root),
        "processors allowed": affinity,
        "of": os.cpu_count(),
        "cgroup quota": cgroup_quota(root),
    }
    chosen = usable_cores(root) if threads is None else threads
    try:
        from ggtui.core.runtime.cpu import native
    except GgtuiError as error:
        return {
            "cores": cores,
            "threads": chosen,
            "instructions": f"unknown: {error}",
            "limits": None,
            "time stamps": None,
        }
    best = native.ISAS[native.isa_index(isa)]
    instructions = {
        "compiled": list(native.compiled_isas()),
        "usable": list(native.usable_isas()),
        "chosen": best,
    }
    limits = _limits(best, chosen)
    stamps = native.text(native.lib.gg_tick_source())
    return {"cores": cores, "threads": chosen, "instructions": instructions, "limits": limits, "time stamps": stamps}


def _limits(isa: str, threads: int) -> dict[str, str] | str:
    """What was measured of this machine for so many threads."""
    from ggtui.core.runtime.device import one_device
    from ggtui.perf.roofline import known_limits

    found = known_limits(one_device("cpu"), threads, isa)
    if found is None:
        return f"not measured for {isa} and {threads} threads; ggtui perf does it"
    now = [found.int8, found.f32, *(rate for _, rate in found.read)]
    said = [_range(low, high) for low, high in zip(found.least or now, now, strict=True)]
    if found.earlier:
        said = [f"{s} (earlier {_range(*e)})" for s, e in zip(said, found.earlier, strict=True)]
    int8, f32, *reads = said
    return {
        "reading, GB/s": ", ".join(f"of {_size(size)} {s}" for (size, _), s in zip(found.read, reads, strict=True)),
        "int8, Gop/s": int8,
        "f32, GFLOP/s": f32,
        "barrier of the threads": f"{found.barrier_ns:.0f} ns",
    }


def _vulkan() -> list[dict[str, Any]] | str:
    """Its devices by number, or what is missing."""
    try:
        from ggtui.core.runtime.vulkan.devices import vulkan_devices

        found = vulkan_devices()
    except GgtuiError as error:
        return str(error)
    return [
        {
            "device": device.index,
            "name": device.name,
            "driver": device.driver,
            "kind": device.kind,
            "version": device.version,
            "memory": device.heap,
            "subgroup": device.subgroup,
            "state": f"lacks {device.missing}" if device.missing else "ready",
        }
        for device in found
    ]


def _range(least: float, most: float) -> str:
    """What the slowest and the fastest probe said, in thousand millions."""
    low, high = (f"{rate / 1e9:.{0 if rate >= 1e10 else 1}f}" for rate in (least, most))
    return high if low == high else f"{low} to {high}"


def _size(n_bytes: int) -> str:
    return f"{n_bytes >> 20} MiB" if n_bytes >= 1 << 20 else f"{n_bytes >> 10} KiB"


def memory(root: Path) -> dict[str, int | None]:
    """Bytes of main memory, and what the cgroup of this process may use of them."""
    found: dict[str, int | None] = {"total": None, "available": None, "cgroup limit": None}
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            key = {"MemTotal": "total", "MemAvailable": "available"}.get(name)
            if key:
                found[key] = int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 0
        found["total"] = pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((root / "sys/fs/cgroup" / name).read_text())
        except (OSError, ValueError):
            continue
        if found["total"] is None or limit < found["total"]:
            found["cgroup limit"] = limit
    return found


def _built_in() -> dict[str, Any]:
    import ggtui

    path = Path(ggtui.__file__).parent / "data" / "tales.gguf"
    try:
        return {"path": str(path), "size": path.stat().st_size}
    except OSError as error:
        return {"path": str(path), "size": None, "problem": error.strerror}


def _terminal() -> dict[str, Any]:
    streams = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
    facts: dict[str, Any] = {k: v for k in ("TERM", "COLORTERM", "NO_COLOR", "LANG") if (v := os.environ.get(k))}
    facts |= {name: "terminal" if s is not None and s.isatty() else "no terminal" for name, s in streams.items()}
    for name, stream in streams.items():
        if facts[name] == "terminal":
            size = os.get_terminal_size(stream.fileno())
            return {**facts, "size": f"{size.columns}x{size.lines}", "colors": _colors()}
    return facts


def _colors() -> int | None:
    """How many colours the terminal's entry in terminfo has."""
    import curses

    try:
        curses.setupterm(fd=1)
        n = curses.tigetnum("colors")
    except curses.error:
        return None
    return n if n >= 0 else None


def _config() -> dict[str, Any]:
    try:
        path = config_file()
    except GgtuiError as error:
        return {"file": None, "problem": str(error)}
    return {"file": str(path), "there": path.exists()}
