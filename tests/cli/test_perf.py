"""`ggtui perf`: what it prints, saves and refuses, and the codes it ends with."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ggtui as package
from ggtui.core.engine.trace_file import load, save
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.record import Limits, Trace
from ggtui.viz.text import printable

QUICK = ("perf", "-n", "4", "--n-prompt", "8", "-r", "1")


@pytest.fixture(scope="module", autouse=True)
def limits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of its own, filled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        from ggtui.core.runtime.cpu import limits

        patch.setattr(limits, "READ_SIZES", (1 << 20,))
        yield


@pytest.fixture(scope="module")
def made() -> Trace:
    session = package.load(threads=1, record="full")
    steps = list(session.generate([1, 2, 3, 4], 40, ignore_eos=True))
    return session.trace(run for step in steps for run in step.runs)


@pytest.fixture
def base(made: Trace, tmp_path: Path) -> Path:
    save(made, tmp_path / "base.json")
    return tmp_path / "base.json"


def undisturbed(made: Trace) -> Trace:
    """The same with each evaluation as the fastest of its graph: what the machine had to do besides is left out."""
    fastest = {t.graph: t for t in sorted(made.tokens, key=lambda t: -t.eval_ns)}
    tokens = [
        replace(t, records=fastest[t.graph].records, eval_ns=fastest[t.graph].eval_ns, unscheduled=())
        for t in made.tokens
    ]
    return replace(made, tokens=tuple(tokens), run=replace(made.run, others=0.0, stolen=0.0))


def slower(made: Trace, factor: float, key: str = "blk.0.ffn_up") -> Trace:
    """The same with one node's records stretched; the records after it move along."""
    tokens = []
    for t in made.tokens:
        node = next(n.id for n in made.graphs[t.graph].nodes if n.key == key)
        moved, found = 0, []
        for r in t.records:
            longer = round((r.end - r.start) * (factor - 1)) if r.node == node else 0
            found.append(replace(r, start=r.start + moved, end=r.end + moved + longer, done=r.done + moved + longer))
            moved += longer
        tokens.append(replace(t, records=tuple(found), eval_ns=t.eval_ns + moved))
    return replace(made, tokens=tuple(tokens))


def test_a_session_prints_its_tables(ggtui: Callable[..., Any]) -> None:
    result = ggtui(*QUICK, "-t", "2", "--top", "3")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^generation: 3 evaluations, .* a token.*, .* tok/s$", result.out, re.M)
    assert re.search(r"^prompt: 1 evaluations, .* a prompt.*, .* tok/s$", result.out, re.M)
    assert re.search(
        r"^node +op +type +shape +calls +time +share +sd +p95 +wait +GB/s +GFLOP/s +limit$", result.out, re.M
    )
    assert re.search(r"^profiler overhead: \d+ stamps of \d+ ns", result.out, re.M)
    assert re.search(r"^generation is .*(memory|compute)-bound: \d+% of [\d.]+ G", result.out, re.M)
    assert "more" in result.out and "threads, the mean" in result.out


def test_a_session_on_another_device(ggtui: Callable[..., Any]) -> None:
    result = ggtui("perf", "--device", "reference", "-n", "1", "-p", "a", "--by", "op", "--top", "50", "-q")
    assert (result.code, result.err) == (0, "")
    assert re.search("^mul_mat ", result.out, re.M)


@pytest.mark.parametrize(("by", "key"), [("op", "mul_mat"), ("layer", "blk.0"), ("type", "q8_0"), ("node", "output")])
def test_by(ggtui: Callable[..., Any], base: Path, by: str, key: str) -> None:
    result = ggtui("perf", "--open", str(base), "--by", by, "--top", "50")
    assert result.code == 0 and re.search(rf"^{re.escape(key)} ", result.out, re.M)


def test_light(ggtui: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "light.json"
    result = ggtui(*QUICK, "--profile", "light", "--json", str(path))
    assert result.code == 0 and "generation: 3 evaluations" in result.out
    trace = load(path)
    assert trace.totals and not any(len(t.records) for t in trace.tokens) and trace.run.profile == "light"


def test_every_format_is_saved(ggtui: Callable[..., Any], base: Path, tmp_path: Path) -> None:
    names = ("json", "csv", "chrome", "speedscope", "sqlite", "markdown")
    flags = [part for name in names for part in (f"--{name}", str(tmp_path / name))]
    assert ggtui("perf", "--open", str(base), *flags).code == 0
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)
    assert load(tmp_path / "json") == load(base)


def test_standard_output_carries_only_what_was_asked_for(ggtui: Callable[..., Any], base: Path) -> None:
    out = ggtui("perf", "--open", str(base), "--json", "-").out
    assert json.loads(out)["schema"] == "ggtui-trace"
    lines = list(csv.DictReader(io.StringIO(ggtui("perf", "--open", str(base), "--csv", "-").out)))
    assert {"generation", "prompt"} == {line["stage"] for line in lines}
    assert ggtui("perf", "--open", str(base), "--sqlite", "-").code == 2


@pytest.mark.parametrize("flag", ["--json", "--csv", "--markdown"])
def test_what_goes_to_standard_output_is_escaped_for_a_terminal_alone(
    ggtui: Callable[..., Any], made: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    graph = made.graphs[0]
    evil = replace(graph, nodes=(replace(graph.nodes[0], key="a\x1b[2J"), *graph.nodes[1:]))
    save(replace(made, graphs=(evil, *made.graphs[1:])), tmp_path / "evil.json")
    piped = ggtui("perf", "--open", str(tmp_path / "evil.json"), flag, "-").out
    assert ("\x1b" in piped) == (flag == "--csv"), "the others have a way of their own"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert ggtui("perf", "--open", str(tmp_path / "evil.json"), flag, "-").out == printable(piped)


def test_a_pipe_that_the_shell_names_is_written_into(ggtui: Callable[..., Any], base: Path) -> None:
    """As `--json >(program)` has it."""
    read_end, write_end = os.pipe()
    with ThreadPoolExecutor(1) as pool, open(read_end, "rb") as pipe:
        read = pool.submit(pipe.read)
        result = ggtui("perf", "--open", str(base), "--json", f"/dev/fd/{write_end}")
        os.close(write_end)
        assert json.loads(read.result())["schema"] == "ggtui-trace"
    assert result.code == 0 and "tok/s" in result.out


def test_a_full_disk_is_one_line(ggtui: Callable[..., Any], base: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = ggtui("perf", "--open", str(base), "--json", f"/dev/fd/{full.fileno()}")
    assert result.code == 1 and result.out == ""
    assert re.fullmatch(r"ggtui: /dev/fd/\d+: cannot be written: No space left on device\n", result.err)


def test_compare(ggtui: Callable[..., Any], made: Trace, tmp_path: Path) -> None:
    made, base = undisturbed(made), tmp_path / "base.json"
    save(made, base)
    same = ggtui("perf", "--open", str(base), "--compare", str(base), "--fail-above", "5%")
    assert same.code == 0 and "changes of the threads' time" in same.out
    save(slower(made, 40.0), tmp_path / "slow.json")
    slow = ggtui("perf", "--open", str(tmp_path / "slow.json"), "--compare", str(base))
    assert slow.code == 0  # without --fail-above it only reports
    slow = ggtui(
        "perf", "--open", str(tmp_path / "slow.json"), "--compare", str(base), "--fail-above", "5%", "--top", "5"
    )
    assert slow.code == 3 and "slower by more than 5.0%: " in slow.out
    changes = slow.out[slow.out.index("changes of the threads' time") :].splitlines()[3:]
    nodes = [line for line in changes if line and not line.startswith("whole evaluation")]
    assert nodes[0].startswith("blk.0.ffn_up") and " ! " in nodes[0]
    fast = ggtui("perf", "--open", str(base), "--compare", str(tmp_path / "slow.json"), "--fail-above", "5%")
    assert fast.code == 0


def test_a_machine_that_became_slower_is_told(ggtui: Callable[..., Any], made: Trace, tmp_path: Path) -> None:
    slower = Limits("avx2", 2, read=((1 << 18, 1e9),), int8=1e9, f32=1e9, barrier_ns=50.0, barrier_most_ns=50.0)
    limits = {"base.json": replace(slower, read=((1 << 18, 2e9),), int8=2e9), "now.json": slower}
    limits["apart.json"] = replace(limits["base.json"], barrier_most_ns=190.0)
    for name, these in limits.items():
        save(replace(made, limits=these), tmp_path / name)
    paced, apart = (
        ggtui("perf", "--open", str(tmp_path / name), "--compare", str(tmp_path / "base.json"))
        for name in ("now.json", "apart.json")
    )
    assert "the machine itself was slower now: of generation, 100% is no change of ours" in paced.out
    assert "it took 190 ns now and 50 ns in the base: their cores were farther apart" in apart.out


def test_a_run_can_be_compared_with_one_before(ggtui: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert ggtui(*QUICK, "--json", str(path)).code == 0
    again = ggtui(*QUICK, "--json", str(tmp_path / "b.json"), "--compare", str(path))
    assert again.code == 0 and "whole evaluation" in again.out


@pytest.mark.skipif(len(usable_isas()) < 2, reason="there is one instruction set only")
def test_another_instruction_set_is_refused_by_name(ggtui: Callable[..., Any], base: Path) -> None:
    refused = ggtui("perf", "--isa", "scalar", "--n-prompt", "4", "-n", "5", "-r", "1", "--compare", str(base))
    assert refused.code == 2 and "instruction set: " in refused.err and "scalar now" in refused.err
    forced = ggtui(
        "perf", "--isa", "scalar", "--n-prompt", "4", "-n", "5", "-r", "1", "--compare", str(base), "--force"
    )
    assert forced.code == 0 and "compared all the same: instruction set" in forced.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--fail-above", "5%"), "--fail-above: needs --compare"),
        (("--compare", "x.json", "--fail-above", "much"), "--fail-above much: must be a percentage"),
        (("--by", "thread"), "--by: invalid choice"),
        (("-n", "0"), "--n-predict 0: must be 1 or more"),
        (("--repeat", "x"), "--repeat x: must be a whole number"),
        (("--json", "a/x", "--csv", "a/../a/x"), "--csv: a/../a/x is the file of --json too; name another one"),
        (("--json", "-", "--csv", "-"), "--csv: - is the file of --json too"),
        (("-n", "100000"), "don't fit into the context"),
        (("--on", "cpu"), "--on cpu: MODEL runs there already"),
        (("--on", "gpu"), "device 'gpu': 'gpu' is none of cpu"),
        (("--on=",), "--on: name a device"),
        (("--on", "reference", "--kernels"), "--kernels: not together with --on"),
        (("--on", "reference", "--open", "x.json"), "--on: not together with --open"),
        (("--kernels", "--device", "cpu,reference:norm"), "device 'cpu,reference:norm' is several; name one"),
    ],
)
def test_bad_usage(ggtui: Callable[..., Any], flags: tuple[str, ...], said: str) -> None:
    result = ggtui("perf", *flags)
    assert result.code == 2 and said in result.err and result.err.count("\n") == 1


def test_files_that_are_no_traces(ggtui: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    assert ggtui("perf", "--open", str(tmp_path / "bad.json")).code == 2
    missing = ggtui("perf", "--open", str(tmp_path / "none.json"))
    assert missing.code == 1 and "No such file" in missing.err
    assert ggtui(*QUICK, "--compare", str(tmp_path / "bad.json")).code == 2


@pytest.mark.parametrize("row", [[0, 0, 0, 0, 0, 1 << 62], [0, 0, 0, -(1 << 62), 0, 0], [0, 0, 0, 9, 8, 10]])
def test_times_that_cannot_be_are_refused_in_a_line(ggtui: Callable[..., Any], base: Path, row: list[int]) -> None:
    data = json.loads(base.read_text())
    data["tokens"][0]["records"][0] = row
    base.write_text(json.dumps(data))
    for command in (("perf", "--open"), (*QUICK, "--compare")):
        code, out, err = ggtui(*command, str(base))
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert err.startswith(f"ggtui: {base}: a damaged trace: tokens.records has the row ")


def test_kernels(ggtui: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from ggtui.perf import kernels

    for name, value in (("_SECONDS", 0.0), ("K", 256), ("N_ROWS", 64)):
        monkeypatch.setattr(kernels, name, value)
    result = ggtui("perf", "--kernels", "--isa", "scalar")
    assert result.code == 0 and re.search(r"^mul_mat_q8_0 +scalar +256 x 64 \. 256 x 32 ", result.out, re.M)
    data = json.loads(ggtui("perf", "--kernels", "--isa", "scalar", "--json", "-").out)
    assert {"attention", "norm"} <= {row["kernel"] for row in data}


def test_against(ggtui: Callable[..., Any], tmp_path: Path) -> None:
    model = str(Path(package.__file__).parent / "data" / "tales.gguf")
    result = ggtui("perf", "--against", model, "-p", "Once upon a time", "--top", "3")
    assert result.code == 0 and "KL divergence 0.000e+00" in result.out and "the same for 100.0%" in result.out
    assert ggtui("perf", "--against", model, "--n-prompt", "4", "--json", str(tmp_path / "a.json")).code == 0
    assert json.loads((tmp_path / "a.json").read_text())["n_tokens"] == 4
    assert ggtui("perf", "--against", str(tmp_path / "a.json")).code == 4


def test_on_another_device(ggtui: Callable[..., Any], tmp_path: Path) -> None:
    result = ggtui("perf", "--on", "reference", "-p", "Once", "--top", "2")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^tales.gguf on reference against tales.gguf on cpu: \d+ tokens, ", result.out, re.M)
    assert re.search(r"^time, every op by itself: tales.gguf on cpu .*, tales.gguf on reference ", result.out, re.M)
    model = str(Path(package.__file__).parent / "data" / "tales.gguf")
    path = str(tmp_path / "a.json")
    flags = ("--device", "reference", "--isa", "scalar", "--n-prompt", "2", "--json", path)
    assert ggtui("perf", "--against", model, "--on", "cpu", *flags).code == 0
    data = json.loads(Path(path).read_text())
    assert (data["first"], data["second"]) == ("tales.gguf on reference", "tales.gguf on cpu")
    gpu = ggtui("perf", "--on", "vulkan", "-p", "Once", "--ctx", "64", "--top", "2")
    assert (gpu.code == 0 and "tales.gguf on vulkan against" in gpu.out) or gpu.code == 5


def test_kernels_of_another_device(ggtui: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from ggtui.perf import device_kernels

    product = ((256, 32, 1), (256, 32, 2))
    for name, value in (("_SECONDS", 0.0), ("_RUNS", 1), ("PRODUCTS", (product,)), ("N_ROWS", (2,))):
        monkeypatch.setattr(device_kernels, name, value)
    result = ggtui("perf", "--kernels", "--device", "reference")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("kernels, each alone on reference\n")
    assert re.search(r"^mul_mat_q8_0 +numpy +256 x 32 \. 256 x 1 .* -$", result.out, re.M)
    gpu = ggtui("perf", "--kernels", "--device", "vulkan", "--json", "-")
    assert gpu.code == 5 or {"mul_mat_q4_0", "set_rows"} <= {row["kernel"] for row in json.loads(gpu.out)}


def test_disasm_and_modes(ggtui: Callable[..., Any]) -> None:
    result = ggtui("perf", "--disasm", "gelu", "--isa", "scalar")
    assert result.code in (0, 5) and (result.code == 5 or result.out.startswith("gelu: the hot loop, "))
    shader = ggtui("perf", "--disasm", "output", "--device", "vulkan", "--ctx", "64")
    assert shader.code in (0, 5), shader.err
    assert shader.code == 5 or shader.out.startswith("output (of 1 token at most): shader ")
    both = ggtui("perf", "--kernels", "--disasm", "gelu")
    assert both.code == 2 and "--disasm: not together with --kernels" in both.err


def test_the_command_line_for_py_spy(monkeypatch: pytest.MonkeyPatch, ggtui: Callable[..., Any]) -> None:
    from ggtui.perf import pyspy

    called = []
    monkeypatch.setattr(pyspy, "record", lambda args, path: called.append((args, path)) or 0)
    monkeypatch.setattr("sys.argv", ["ggtui", "perf", "-n", "4", "--py-spy", "a.svg", "--top", "1", "--py-spy=b.svg"])
    assert ggtui("perf", "-n", "4", "--py-spy", "b.svg", "--top", "1").code == 0
    assert called == [(["perf", "-n", "4", "--top", "1"], "b.svg")]


def test_a_busy_machine_is_told(ggtui: Callable[..., Any], made: Trace, tmp_path: Path) -> None:
    path = tmp_path / "busy.json"
    save(replace(made, run=replace(made.run, others=0.4)), path)
    shown = ggtui("perf", "--open", str(path))
    assert "busy machine: other programs used 40% of these cores" in shown.out
    compared = ggtui("perf", "--open", str(path), "--compare", str(path))
    assert "base: busy machine" in compared.out and "now: busy machine" in compared.out
