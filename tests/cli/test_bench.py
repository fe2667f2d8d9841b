"""`ggtui bench`: its formats, what it measures, what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.runtime.busy import Busy, Watch
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.cpu.plan import Pool
from ggtui.core.runtime.device import Device
from ggtui.core.runtime.record import Limits
from ggtui.perf.bench import Result

Run = Callable[..., Any]
QUICK = ("-p", "8", "-n", "2", "-r", "2")
# All fields of llama-bench, in its order, and what its script compares by.
LLAMA_BENCH = (
    "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
    "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v",
    "n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "devices", "tensor_split",
    "tensor_buft_overrides", "load_mode", "lazy_mode", "embeddings", "no_op_offload", "no_host", "repack", "fit_target",
    "fit_min_ctx", "n_prompt", "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
)  # fmt: skip
OWN = ("use_mmap", "isa", "bytes_per_token", "flops_per_token", "limit", "of_limit", "others", "stolen")
SAMPLES = ("samples_ns", "samples_ts")
INTEGERS = (
    "build_number", "n_batch", "n_ubatch", "n_threads", "poll", "model_size", "model_n_params", "n_gpu_layers",
    "main_gpu", "n_prompt", "n_gen", "n_depth", "avg_ns", "stddev_ns", "no_op_offload", "n_cpu_moe", "fit_target",
    "fit_min_ctx", "flash_attn",
)  # fmt: skip
BOOLEANS = ("no_kv_offload", "cpu_strict", "embeddings", "no_host", "repack", "use_mmap")
# A row as llama-bench's own output in SQL inserts it.
THEIRS = "INSERT INTO llama_bench ({}) VALUES ({});"


def made_up_limits(device: Device, pool: Pool, isa: str | None) -> Limits:
    return Limits(isa or "best", pool.threads, ((1 << 20, 1e10),), int8=1e12, f32=1e11, barrier_ns=100)


@pytest.fixture
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ggtui.perf.roofline.measure", made_up_limits)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs beside these tests."""
    monkeypatch.setattr(Watch, "busy", Busy())


def test_limits_are_measured(ggtui: Run) -> None:
    (found,) = json.loads(ggtui("bench", "-p", "8", "-n", "0", "-r", "1", "-o", "json").out)
    assert found["limit"] in ("memory", "cache", "compute") and 0 < found["of_limit"] <= 1


@pytest.mark.usefixtures("quick_limits")
def test_another_device_is_held_against_the_limits_of_the_processor(ggtui: Run) -> None:
    code, out, err = ggtui("bench", "-p", "2", "-n", "1", "-r", "1", "--device", "reference", "-o", "json")
    assert (code, err) == (0, "")
    assert [(found["limit"], found["of_limit"]) for found in json.loads(out)] == [("", 0.0)] * 2


@pytest.mark.usefixtures("quick_limits")
def test_markdown(ggtui: Run) -> None:
    code, out, err = ggtui("bench", *QUICK, "-t", "1,2")
    assert (code, err) == (0, "")
    head, rule, *rows, blank, build = out.splitlines()
    assert [c.strip() for c in head.strip("|").split("|")] == [
        "model", "size", "params", "backend", "threads", "test", "t/s", "limit"
    ]  # fmt: skip
    assert re.fullmatch(r"(\| -+:? )+\|", rule)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    same = ["gpt2 5.9M Q8_0", "6.42 MiB", "5.92 M", "CPU"]
    assert [c[:6] for c in cells] == [[*same, t, test] for t in "12" for test in ("pp8", "tg2")]
    for c in cells:
        assert re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d", c[6]) and re.fullmatch(r"(memory|cache|compute) \d+%", c[7])
    assert blank == "" and build.startswith("build: ggtui")


@pytest.mark.usefixtures("quick_limits")
def test_json_has_the_fields_of_llama_bench(ggtui: Run) -> None:
    code, out, err = ggtui("bench", *QUICK, "-d", "0,5", "-o", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    wanted = [(8, 0, 0), (8, 0, 5), (0, 2, 0), (0, 2, 5)]
    assert sorted((r["n_prompt"], r["n_gen"], r["n_depth"]) for r in found) == sorted(wanted)
    for r in found:
        assert tuple(r) == (*LLAMA_BENCH, *OWN, *SAMPLES) == tuple(f.name for f in fields(Result))
        assert all(type(r[name]) is int for name in INTEGERS) and all(type(r[name]) is bool for name in BOOLEANS)
        assert (r["gpu_info"], r["backends"], r["n_gpu_layers"], r["load_mode"]) == ("", "CPU", 0, "none")
        assert r["n_ubatch"] == r["n_batch"] == 512
        assert len(r["samples_ns"]) == len(r["samples_ts"]) == 2
        assert r["model_filename"] == str(BUILT_IN) and (r["n_threads"], r["type_k"]) == (1, "f16")
        assert r["bytes_per_token"] > 0 and r["flops_per_token"] > 0 and r["of_limit"] > 0


@pytest.mark.usefixtures("quick_limits")
def test_a_line_of_jsonl_is_a_test(ggtui: Run) -> None:
    lines = [json.loads(line) for line in ggtui("bench", *QUICK, "-o", "jsonl").out.splitlines()]
    assert [(r["n_prompt"], r["n_gen"]) for r in lines] == [(8, 0), (0, 2)]
    assert all(tuple(r) == (*LLAMA_BENCH, *OWN, *SAMPLES) for r in lines)


@pytest.mark.usefixtures("quick_limits")
def test_llama_bench_adds_to_a_database_that_was_begun_here(ggtui: Run) -> None:
    """Its script compares rows by their build, and joins them on the columns of all their settings."""
    database = sqlite3.connect(":memory:")
    database.executescript(ggtui("bench", *QUICK, "-o", "sql").out)
    database.execute(
        THEIRS.format(", ".join(LLAMA_BENCH), ", ".join("?" * len(LLAMA_BENCH))), ("0",) * len(LLAMA_BENCH)
    )
    database.execute(THEIRS.format("use_mmap, build_commit", "?, ?"), ("1", "abc"))
    kinds = {row[1]: row[2] for row in database.execute("PRAGMA table_info(llama_bench)")}
    assert tuple(kinds) == (*LLAMA_BENCH, *OWN)
    assert all(kinds[name] == "INTEGER" for name in (*INTEGERS, *BOOLEANS))
    assert kinds["avg_ts"] == kinds["stddev_ts"] == "REAL" and kinds["build_commit"] == kinds["cpu_mask"] == "TEXT"
    values = database.execute("SELECT use_mmap, repack, build_number FROM llama_bench").fetchone()
    assert values[:2] == (0, 1) and isinstance(values[2], int)


@pytest.mark.usefixtures("quick_limits")
def test_sql_runs_and_csv_has_the_same(ggtui: Run) -> None:
    database = sqlite3.connect(":memory:")
    for _ in range(2):  # into the table that there is
        database.executescript(ggtui("bench", *QUICK, "-o", "sql").out)
    names = [row[1] for row in database.execute("PRAGMA table_info(llama_bench)")]
    rows = database.execute('SELECT n_prompt, n_gen, avg_ts, "limit", model_filename FROM llama_bench').fetchall()
    assert [row[:2] for row in rows] == [(8, 0), (0, 2)] * 2
    assert all(row[2] > 0 and row[3] in ("memory", "cache", "compute") and row[4] == str(BUILT_IN) for row in rows)
    head, *lines = csv.reader(io.StringIO(ggtui("bench", *QUICK, "-o", "csv").out))
    assert head == names == [*LLAMA_BENCH, *OWN]
    read = [dict(zip(head, line, strict=True)) for line in lines]
    assert [(r["n_gen"], r["cpu_strict"], r["repack"]) for r in read] == [("0", "0", "1"), ("2", "0", "1")]


@pytest.mark.usefixtures("quick_limits")
def test_a_file_s_name_is_data(ggtui: Run, tmp_path: Any) -> None:
    path = tmp_path / 'it\'s \x1b[31m, "a"\n.gguf'
    path.write_bytes(BUILT_IN.read_bytes())
    database = sqlite3.connect(":memory:")
    sql = ggtui("bench", str(path), *QUICK, "-p", "0", "-o", "sql").out
    database.executescript(sql)
    (name,) = database.execute("SELECT model_filename FROM llama_bench").fetchone()
    assert name.endswith("""/it's \\x1b[31m, "a"\\n.gguf""") and "\x1b" not in sql
    out = ggtui("bench", str(path), *QUICK, "-p", "0", "-o", "csv").out
    assert "\x1b" not in out and len(list(csv.reader(io.StringIO(out)))) == 2
    assert json.loads(ggtui("bench", str(path), *QUICK, "-p", "0", "-o", "json").out)[0]["model_filename"] == str(path)


@pytest.mark.usefixtures("quick_limits")
def test_models_instruction_sets_and_types_in_lists(ggtui: Run) -> None:
    two = ",".join(usable_isas()[:2])
    out = ggtui("bench", str(BUILT_IN), str(BUILT_IN), *QUICK, "-p", "0", "--isa", two).out
    rows = [row for row in out.splitlines() if " tg2 " in row]
    assert len(rows) == 2 * len(two.split(",")) and all(name in out for name in two.split(","))
    out = ggtui("bench", *QUICK, "-n", "0", "-r", "1", "--shape", "124M", "--type", "q4_0,q4_k_m").out
    assert "gpt2 124M Q4_0 " in out and "gpt2 124M Q4_K_M " in out and " 124.44 M " in out


@pytest.mark.usefixtures("quick_limits")
def test_a_variable_stands_for_a_flag(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGTUI_THREADS", "2")
    monkeypatch.setenv("GGTUI_KV_TYPE", "f32")
    (found,) = json.loads(ggtui("bench", *QUICK, "-n", "0", "-o", "json").out)
    assert (found["n_threads"], found["type_v"]) == (2, "f32")


def beside(monkeypatch: pytest.MonkeyPatch, *rows: Busy) -> None:
    """Has each row be measured beside others, as they are said."""
    told = iter(rows)

    def measure(device: Device, pool: Pool, isa: str | None) -> Limits:
        monkeypatch.setattr(Watch, "busy", next(told))
        return made_up_limits(device, pool, isa)

    monkeypatch.setattr("ggtui.perf.roofline.measure", measure)


def test_that_others_used_the_cores_is_told_once_after_the_table(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    beside(monkeypatch, Busy(others=0.4), Busy(0.02, 0.04))
    code, out, err = ggtui("bench", *QUICK)
    assert code == 0 and "busy" not in out
    assert err == (
        "ggtui: busy machine: other programs used 40% of these cores (pp8); "
        "tokens a second and limits are those of this moment\n"
    )
    beside(monkeypatch, *4 * [Busy(0.2, 0.1)])
    told = "other programs used up to 20% of these cores and other virtual machines used up to 10% of these cores; "
    assert told in ggtui("bench", *QUICK, "-t", "1,2").err
    beside(monkeypatch, Busy(0.3), Busy(), Busy(), Busy(0.2))
    assert "up to 30% of these cores (1 thread pp8, 2 threads tg2); " in ggtui("bench", *QUICK, "-t", "1,2").err
    many = ",".join("12345678")
    beside(monkeypatch, *7 * [Busy(0.3)], Busy())
    assert " (tg1, tg2, tg3, tg4, tg5 and 2 more); " in ggtui("bench", "-p", "0", "-n", many, "-r", "1").err
    beside(monkeypatch, Busy(0.4), Busy())
    assert ggtui("bench", *QUICK, "-q").err == ""


def test_what_others_used_is_among_the_fields(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [(0.4, 0.0), (0.0, 0.25)]
    for output in ("json", "csv", "sql"):
        beside(monkeypatch, *(Busy(*row) for row in wanted))
        text = ggtui("bench", *QUICK, "-o", output).out
        if output == "json":
            rows = [(r["others"], r["stolen"]) for r in json.loads(text)]
        elif output == "csv":
            rows = [(float(r["others"]), float(r["stolen"])) for r in csv.DictReader(io.StringIO(text))]
        else:
            database = sqlite3.connect(":memory:")
            database.executescript(text)
            rows = database.execute("SELECT others, stolen FROM llama_bench").fetchall()
        assert rows == wanted


def test_the_machine_is_watched_for_each_row_and_while_its_limits_are_measured(
    ggtui: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    begin = Watch.begin

    def begun(watch: Watch) -> None:
        seen.append("watch")
        begin(watch)

    def measure(device: Device, pool: Pool, isa: str | None) -> Limits:
        seen.append("limits")
        return made_up_limits(device, pool, isa)

    monkeypatch.setattr(Watch, "begin", begun)
    monkeypatch.setattr("ggtui.perf.roofline.measure", measure)
    ggtui("bench", *QUICK)
    assert seen == ["watch", *2 * ["watch", "limits"]]  # the first when the model was loaded


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        (("x.gguf", "--shape", "124M"), 2, "x.gguf: not together with --type or --shape"),
        (("x.gguf", "--type", "q4_0"), 2, "x.gguf: not together with --type or --shape"),
        (("--shape", "125M"), 2, "--shape '125M': must be 124M or 355M"),
        (("--type", "q9"), 2, "tensor type 'q9': choose one of"),
        (("-p", "513"), 2, "pp513: 513 tokens don't fit into the context of"),
        (("-d", "500"), 2, "don't fit into the context of"),
        (("--shape", "124M", "-p", "1025"), 2, "the context of random-124M-q4_0, 1024"),
        (("-p", "0", "-n", "0"), 2, "there is nothing to measure"),
        (("-p", "1,-1"), 2, "--n-prompt -1: must be 0"),
        (("-n", "x"), 2, "--n-gen x: must be a whole number"),
        (("-r", "0"), 2, "-r 0: must be 1 or more"),
        (("-t", "1,0"), 2, "--threads 0: must be 1 to 512"),
        (("-t", ""), 2, "--threads ''"),
        (("--isa", "mmx"), 2, "--isa mmx: must be scalar"),
        (("-o", "xml"), 2, "xml"),
        (("none.gguf",), 4, "none.gguf: file: does not exist"),
        (("--device", "vulkan:99"), 5, "ulkan"),
        (("--backend", "vulkan:99"), 5, "ulkan"),
    ],
)
def test_refusals(ggtui: Run, args: tuple[str, ...], code: int, problem: str) -> None:
    result = ggtui("bench", *args)
    assert result.code == code and problem in result.err and result.err.count("\n") == 1
    assert "±" not in result.out
