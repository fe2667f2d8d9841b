"""Checks a device against the ops in numpy: each case of the table computed on both, and how long the device took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from ggtui.core.errors import GgtuiError, NoKernelError, UsageError
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases import CASES, Case
from ggtui.core.runtime.cases.base import EXACT, Array
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.device import Executable
from ggtui.core.runtime.reference.walk import Walk
from ggtui.core.runtime.several import device as device_called

# One wrong value among many hides in the NMSE: none may be off by more than so many times what the bound allows on the
# mean, in squares.
_LONE_FACTOR = 200
_FLOPS_A_BYTE = 8  # above it memory is not what limits
_FEW_RUNS, _TIMED_NS = 3, 50_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """How a case came out.

    nmse     sum (got - want)^2 / sum want^2; None where nothing came out
    problem  what is wrong, in one line; "" where all is within the bound
    ns       the best time of a few runs
    flops, traffic   operations, and bytes read and written, of a run
    device   where it ran: on the CPU what a device has no kernel for
    """

    case: Case
    nmse: float | None
    problem: str
    ns: int = 0
    flops: int = 0
    traffic: int = 0
    device: str = ""

    @property
    def share(self) -> float:
        """How much of the bound is used, to tell which case is worst; above 1 it is out of bounds."""
        if self.problem:
            return np.inf
        return self.nmse / self.case.bound if self.nmse and self.case.bound else 0.0

    @property
    def speed(self) -> tuple[float, str] | None:
        """GFLOP/s, or GB/s where few operations are done for each byte; None for cases too small to tell."""
        if not self.case.timed or not self.ns:
            return None
        arithmetic = self.flops > _FLOPS_A_BYTE * self.traffic
        return (self.flops / self.ns, "GFLOP/s") if arithmetic else (self.traffic / self.ns, "GB/s")


def known_ops(names: Iterable[str]) -> list[str]:
    """The same names. Raises UsageError for one that is no op's."""
    wanted = list(names)
    for name in wanted:
        if name not in OPS:
            meant = get_close_matches(name, OPS, 1)
            raise UsageError(
                f"op {name}: there is none; " + (f"did you mean {meant[0]}?" if meant else "see ggtui ops")
            )
    return wanted


def select(names: Iterable[str] = (), pattern: str = "*") -> list[Case]:
    """The cases of the ops called `names` (none: of all), whose own names match a shell pattern; op by op in the order
    of the table of ops.

    Raises UsageError for an op that is none, and where nothing matches.
    """
    wanted = known_ops(names)
    cases = [c for op in OPS for c in CASES if c.op == op and (not wanted or op in wanted)]
    found = [case for case in cases if fnmatchcase(case.name, pattern)]
    if not found:
        raise UsageError(f"case {pattern}: none of {', '.join(wanted) or 'the ops'} matches; --check -v lists them")
    return found


def check(cases: Iterable[Case], device: str = "cpu", *, threads: int = 1, isa: str | None = None) -> Iterator[Result]:
    """Compute cases on a device, one after the other, and compare each with numpy.

    Raises UsageError for a device, an instruction set or a number of threads that there is none of. What is raised as a
    case is computed is that case's problem.
    """
    pool = shared_pool(device, threads)
    for case in cases:
        try:
            y, plan = _planned(case, device, isa)
        except NoKernelError as error:
            yield Result(case, None, str(error))
            continue
        try:
            want = reference_result(y)  # first, since what writes in place changes what it reads
            plan.run(pool)
        except GgtuiError as error:
            yield Result(case, None, str(error))
            continue
        nmse, problem = compare(y.numpy(), want, case.bound)
        nodes = plan.info(threads).nodes
        told_by_data = OPS[y.op].told_by_data
        sizes = told_by_data(y) if told_by_data else {}
        flops, traffic = sum(n.flops.at(sizes) for n in nodes), sum(n.traffic.at(sizes) for n in nodes)
        best = _best_ns(partial(plan.run, pool), case.timed)
        yield Result(case, nmse, problem, best, flops, traffic, nodes[-1].device if nodes else "")


def _planned(case: Case, name: str, isa: str | None) -> tuple[Tensor, Executable]:
    """A case's graph, in the device's own memory; in the CPU's where it has nothing that writes to such memory."""
    for context in (device_called(name).context(), Context()):
        y, _ = case.make(context)
        graph = Graph()
        graph.build_forward_expand(y)
        try:
            return y, graph.plan(isa=isa, device_name=name)
        except NoKernelError:
            continue
    raise NoKernelError(f"{name} has no kernel for {case}")


def reference_result(y: Tensor, values: Mapping[str, int] | None = None) -> Array:
    """What a tensor is in numpy, as `y.numpy()` shapes it, in float64 or int32. Leaves the graph's memory as it is."""
    walk = Walk(values)
    walk.compute([y])
    return walk.result(y)


def compare(got: Array, want: Array, bound: float) -> tuple[float | None, str]:
    """NMSE of what came out against what is wanted, and what is wrong with it: "" for nothing.

    Infinities must be equal; for the bound EXACT all values must.
    """
    if got.shape != want.shape:
        return None, f"sizes {got.shape[::-1]}, not {want.shape[::-1]}"
    x, y = got.astype(np.float64), want.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    finite = np.isfinite(y)
    with np.errstate(invalid="ignore"):
        errors = np.where(same, 0, (x - y) ** 2)
    square = float((y[finite] ** 2).sum())
    error = float(errors.sum())
    nmse = 0.0 if error == 0 else error / square if square else np.inf
    far = ~same & ~(errors <= bound * square / max(finite.sum(), 1) * _LONE_FACTOR)
    if same.all() or (nmse <= bound and not far.any()):
        return nmse, ""
    worst = np.unravel_index(np.argmax(np.where(np.isnan(errors), np.inf, errors)), errors.shape)
    place = ", ".join(str(i) for i in reversed(worst))
    exact = f"{np.count_nonzero(~same)} of {same.size} values differ"
    what = exact if bound == EXACT else f"NMSE {nmse:.2g}, the bound is {bound:g}"
    return nmse, f"{what}; the worst, at ({place}), is {x[worst]:.9g}, not {y[worst]:.9g}"


def _best_ns(run: Callable[[], object], timed: bool) -> int:
    """The shortest of a few runs; of more where the time is to say something."""
    best, runs, begin = 0, 0, time.perf_counter_ns()
    while runs < _FEW_RUNS or (timed and time.perf_counter_ns() - begin < _TIMED_NS):
        started = time.perf_counter_ns()
        run()
        ns = time.perf_counter_ns() - started
        best, runs = min(best or ns, ns), runs + 1
    return best
