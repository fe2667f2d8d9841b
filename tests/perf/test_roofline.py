"""The limits of the machine: measured, kept, and measured anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cpu import limits as loops
from ggtui.core.runtime.cpu.native import ISAS, lib, usable_isas
from ggtui.core.runtime.cpu.plan import Pool
from ggtui.core.runtime.device import Device, one_device
from ggtui.core.runtime.record import Limits
from ggtui.perf import roofline

CPU = one_device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loops, "READ_SIZES", (1 << 16, 1 << 20))
    return tmp_path


@pytest.mark.parametrize("isa", usable_isas())
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_limit_is_measured(isa: str, threads: int) -> None:
    found = roofline.measure(CPU, Pool(threads), isa)
    assert (found.isa, found.threads) == (isa, threads)
    assert [size for size, _ in found.read] == [1 << 16, 1 << 20]
    # Between what the slowest machine does and what none will soon.
    assert all(1e7 < rate < 1e13 for _, rate in found.read)
    assert 1e7 < found.f32 < 1e15 and 1e7 < found.int8 < 1e15 and 0 < found.barrier_ns < 1e8


def test_limits_are_the_most_of_several_probes_and_the_least_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter(float(v) for v in (5, 9, 20, 30, 7, 6, 8, 21, 33, 9, 4, 10, 19, 31, 8))
    monkeypatch.setattr(loops, "_limit", lambda pool, kind, isa, n_bytes=0: next(values))
    found = roofline.measure(CPU, Pool(1), "scalar")
    assert found == Limits("scalar", 1, ((1 << 16, 6.0), (1 << 20, 10.0)), 21.0, 33.0, 7.0, (19.0, 30.0, 4.0, 8.0), 9.0)
    other = Limits("scalar", 1, ((1 << 16, 7.0), (1 << 30, 1.0)), 18.0, 30.0, 6.0)
    assert roofline.joined(found, other) == Limits(
        "scalar",
        1,
        ((1 << 16, 7.0), (1 << 20, 10.0), (1 << 30, 1.0)),
        21.0,
        33.0,
        6.0,
        (18.0, 30.0, 4.0, 8.0, 1.0),
        9.0,
    )


def test_limits_are_measured_for_what_a_model_reads() -> None:
    found = roofline.measure(CPU, Pool(1), "scalar", [3 << 18])
    assert [size for size, _ in found.read] == [1 << 16, 3 << 18, 1 << 20] and len(found.least) == 5


def test_limits_are_kept(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    rates = iter((1.0, 2.0, 3.0))

    def measure(device: Device, pool: Pool, isa: str | None = None) -> Limits:
        return Limits(isa or ISAS[0], pool.threads, ((1024, 1e9),), next(rates), 1.0, 1.0)

    monkeypatch.setattr(roofline, "measure", measure)
    isa = usable_isas()[-1]
    assert roofline.known_limits(CPU, 1, isa) is None
    assert roofline.limits(CPU, Pool(1), isa).int8 == 1.0
    assert roofline.limits(CPU, Pool(2), isa).int8 == 2.0  # other threads are another measurement
    again = roofline.limits(CPU, Pool(1), isa)
    assert again == Limits(
        isa, 1, ((1024, 1e9),), 3.0, 1.0, 1.0, earlier=((1.0, 1.0), (1.0, 1.0), (1e9, 1e9)), n_earlier=1
    )
    assert roofline.known_limits(CPU, 2, isa) == Limits(isa, 2, ((1024, 1e9),), 2.0, 1.0, 1.0)
    assert roofline.known_limits(CPU, 1, isa) == again
    (file,) = (own_cache / "ggtui").iterdir()
    assert file == roofline.cache_file() and set(json.loads(file.read_text())["limits"]) == {f"{isa} 1", f"{isa} 2"}


def test_what_earlier_measurements_reached_is_told_at_the_sizes_of_now() -> None:
    def found(rate: float, sizes: tuple[int, ...], low: float) -> Limits:
        return Limits(
            "scalar", 1, tuple((n, rate * n) for n in sizes), rate, rate, 1.0, (low, low, *(low * n for n in sizes))
        )

    for i in range(roofline.KEPT + 3):
        roofline.keep(found(100.0 - i, (4, 64), 50.0 + i), "scalar 1")
    now = roofline.keep(found(10.0, (4, 16, 64), 9.0), "scalar 1")
    assert now is not None
    assert now.n_earlier == roofline.KEPT - 1 and now.read == ((4, 40.0), (16, 160.0), (64, 640.0))
    # Of the last ones alone; the size between is half way on a log scale.
    ranges = ((54, 96), (54, 96), (54 * 4, 96 * 4), (54 * 34, 96 * 34), (54 * 64, 96 * 64))
    assert [pair for pair in now.earlier] == [pytest.approx(pair) for pair in ranges]
    assert roofline.known_limits(CPU, 1, "scalar") == now


def kept(**changed: object) -> str:
    """A file with the limits of one thread."""
    entry = {"isa": "scalar", "threads": 1, "read": [[1, 1.0]], "int8": 1.0, "f32": 1.0, "barrier_ns": 1.0}
    return json.dumps({"version": roofline.VERSION, "limits": {"scalar 1": [entry | changed]}})


DAMAGED = (
    "", "[]", "[" * 100_000, '{"version": 0, "limits": {}}', kept().replace("{", "[").replace("}", "]"),
    *(kept(read=read) for read in ([[1]], [["a", 1]], [[0, 1]], [[1, float("nan")]], 7)), kept(int8="x"), kept(f32=0),
)  # fmt: skip


def test_what_was_kept_is_known() -> None:
    roofline.cache_file().parent.mkdir()
    roofline.cache_file().write_text(kept())
    assert roofline.known_limits(CPU, 1, "scalar") == Limits("scalar", 1, ((1, 1.0),), 1.0, 1.0, 1.0)


@pytest.mark.timeout(20)
def test_what_is_no_file_counts_as_none() -> None:
    roofline.cache_file().parent.mkdir()
    os.mkfifo(roofline.cache_file())
    assert roofline.known_limits(CPU, 1, "scalar") is None
    roofline.cache_file().unlink()
    with roofline.cache_file().open("wb") as file:
        file.truncate(1 << 40)
    assert roofline.known_limits(CPU, 1, "scalar") is None


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_counts_as_none(text: str) -> None:
    roofline.cache_file().parent.mkdir()
    roofline.cache_file().write_text(text)
    assert roofline.known_limits(CPU, 1, "scalar") is None
    assert roofline.limits(CPU, Pool(1), "scalar").threads == 1
    assert roofline.known_limits(CPU, 1, "scalar") is not None


def test_a_home_that_can_not_be_written_is_no_failure(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    (own_cache / "ggtui").write_text("a file where the folder should be")
    assert roofline.limits(CPU, Pool(1), "scalar").isa == "scalar"


def test_bad_requests_are_refused() -> None:
    pool = Pool(2)
    for kind, isa, n_bytes in ((9, 0, 0), (-1, 0, 0), (lib.GG_LIMIT_READ, 0, 100), (lib.GG_LIMIT_F32, len(ISAS), 0)):
        assert lib.gg_limit(pool.handle, kind, isa, n_bytes) < 0
    with pytest.raises(GgtuiError, match="limit 9"):
        loops._limit(pool, 9, 0)


def test_of_a_device_without_known_limits_there_are_none() -> None:
    reference = one_device("reference")
    assert roofline.measure(reference, reference.pool(1)) is roofline.limits(reference, reference.pool(1)) is None
    assert roofline.known_limits(reference, 1, None) is None and not roofline.cache_file().exists()


def test_limits_of_a_gpu(own_cache: Path) -> None:
    """Without 8-bit products; whose they are stays with them."""

    def probe(f16: float, submit_ns: float) -> Limits:
        return Limits("vulkan", 1, ((4, 1e9),), 0.0, 1e12, 900.0, device="vulkan", f16=f16, submit_ns=submit_ns)

    found = roofline.joined(probe(2e12, 30.0), None, probe(3e12, 20.0))
    assert found is not None
    assert (found.device, found.int8, found.f16, found.submit_ns, found.least) == (
        "vulkan", 0.0, 3e12, 20.0, (0.0, 1e12, 1e9)
    )  # fmt: skip
    for _ in range(2):
        kept = roofline.keep(found, "vulkan: a card, a driver 1")
    assert kept is not None and kept.earlier[0] == (0.0, 0.0)
    assert roofline._read(roofline.cache_file()) == {"vulkan: a card, a driver 1": [found, found]}


def test_what_a_session_runs_on() -> None:
    from ggtui import load

    with load(device="cpu,reference:norm", isa="scalar", threads=1, ctx=64) as session:
        found = roofline.measure(*roofline.runs_on(session))
    assert found is not None and (found.device, found.isa, found.threads) == ("cpu", "scalar", 1)
