"""What `ggtui perf` measures beside sessions: kernels alone, one model or device against another, and code as text."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ggtui.chat.settings import LOADING, values_of
from ggtui.core import saving
from ggtui.core.errors import UsageError
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.runtime.device import Device
    from ggtui.perf.kernels import KernelTime


def disasm(args: argparse.Namespace) -> int:
    from ggtui.core.runtime.cpu.native import ISAS, isa_index
    from ggtui.perf.disasm import hot_loop

    loop = hot_loop(args.disasm, ISAS[isa_index(args.isa)])
    print(f"{args.disasm}: the hot loop, {len(loop.lines)} of {loop.n_instructions} instructions, in {loop.symbol}")
    print(*loop.lines, sep="\n")
    return 0


def shaders(args: argparse.Namespace, session: Session) -> int:
    from ggtui.perf.shaders import lines, shaders_of

    for line in lines(shaders_of(session, args.disasm)):
        print(printable_line(line))
    return 0


def kernels(args: argparse.Namespace) -> int:
    from ggtui.core.runtime.several import device
    from ggtui.perf.device_kernels import kernel_times
    from ggtui.perf.roofline import limits
    from ggtui.viz import measured_tables, tables
    from ggtui.viz.progress import progress_bar

    on = device(args.device.strip())
    if "," in on.name:
        raise UsageError(f"--kernels: device {args.device!r} is several; name one")
    with progress_bar("measuring", quiet=args.quiet):
        found = _of_cpu(on, args.isa) if on.name == "cpu" else list(kernel_times(on, limits(on, on.pool(1))))
    if args.json is not None:
        return _save_data(args.json, [asdict(f) for f in found])
    where = "one thread" if on.name == "cpu" else on.name
    tables.write(sys.stdout, *measured_tables.kernel_table(found, where), ascii_only=args.ascii)
    return 0


def _of_cpu(cpu: Device, isa: str | None) -> list[KernelTime]:
    from ggtui.core.runtime.cpu.native import ISAS, isa_index, usable_isas
    from ggtui.perf.kernels import kernel_times
    from ggtui.perf.roofline import limits

    isas = (ISAS[isa_index(isa)],) if isa is not None else usable_isas()
    pool = cpu.pool(1)
    return list(kernel_times(isas, lambda isa: limits(cpu, pool, isa)))


def against(args: argparse.Namespace) -> int:
    """MODEL against MODEL2, or against itself on another device."""
    from ggtui.cli.loading import load
    from ggtui.core.runtime.several import device
    from ggtui.perf.against import against
    from ggtui.perf.measure import made_up_prompt
    from ggtui.viz import measured_tables, tables

    options = values_of(args, LOADING)
    others = dict(options) if args.against is None else {**options, "adapter": None}  # an adapter is MODEL's
    if args.on is not None:
        device(args.on)  # sooner than after a model was loaded
        if args.against is None and args.on == args.device and not args.layers_on:
            raise UsageError(f"--on {args.on}: MODEL runs there already; name another device, or --against MODEL2")
        others |= {"device": args.on, "layers_on": None}
        for each in (options, others):  # an instruction set that is asked for is the CPU's
            if each["device"] == "reference" and each["layers_on"] is None:
                each["isa"] = None
    first = load(args.model, quiet=args.quiet, **options)
    second = load(args.against or args.model, quiet=args.quiet, **others)
    prompt = first.tokenizer.begin(args.prompt) if args.prompt else made_up_prompt(first, args.n_prompt)
    found = against(first, second, prompt)
    if args.json is not None:
        return _save_data(args.json, asdict(found))
    tables.write(sys.stdout, *measured_tables.blame_table(found, args.top), ascii_only=args.ascii)
    print(*measured_tables.blame_notes(found), sep="\n")
    return 0


def _save_data(path: str, data: object) -> int:
    text = json.dumps(data, indent=1)
    if path == "-":
        print(text)
        return 0
    saving.write(path, text + "\n")
    return 0
