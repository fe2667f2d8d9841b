"""The shaders that run a node: their SPIR-V, through spirv-dis, and what the driver says of what it made of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.runtime.device import ShaderCode

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session

_SPECIALIZED = re.compile(r"OpDecorate (%\w+) SpecId (\d+)")


@dataclass(frozen=True, slots=True)
class NodeCode:
    """What runs a node. nodes: its keys in the graphs in which that is so, and the most tokens that each reads."""

    nodes: tuple[tuple[str, int], ...]
    code: ShaderCode


def shaders_of(session: Session, name: str) -> list[NodeCode]:
    """Of the nodes with that key, else that name, else the first of that op, in the graphs of a token and of a prompt:
    once for both where they are the same. Raises UsageError where there is no such node, or no shader runs it."""
    session.engine.prepare()
    found: dict[ShaderCode, list[tuple[str, int]]] = {}
    known: set[str] = set()
    devices: list[str] = []
    for graph, plan in zip(session.graphs(), session.engine.plans(), strict=True):
        nodes = graph.nodes
        known.update(name for node in nodes for name in (node.key, node.op))
        meant = [n for n in nodes if n.key == name] or [n for n in nodes if n.name == name]
        for node in (meant or [n for n in nodes if n.op == name])[:1]:
            code = plan.code(node.id)
            if code is None:
                devices.append(node.device)
            else:
                found.setdefault(code, []).append((node.key, graph.n_tokens))
    if not found and devices:
        raise UsageError(f"--disasm {name}: {devices[0]} runs it, without a shader; its kernels: --device cpu")
    if not found:
        near = get_close_matches(name, sorted(known), 3)
        told = f"; did you mean {' or '.join(near)}?" if near else "; ggtui perf --by node names them"
        raise UsageError(f"--disasm {name}: there is no such node{told}")
    return [NodeCode(tuple(nodes), code) for code, nodes in found.items()]


def lines(shaders: list[NodeCode]) -> Iterator[str]:
    """All of it as text: what runs which nodes, the shader, and what the driver says."""
    for each in shaders:
        code, shader = each.code, disassembled(each.code.words)
        where = " and ".join(f"{key} (of {n} token{'s' * (n > 1)} at most)" for key, n in each.nodes)
        wanted = f", subgroups of {code.subgroup}" if code.subgroup else ""
        yield f"{where}: shader {code.shader}{wanted}; constants {constants(code.constants, shader)}"
        yield from shader.splitlines()
        yield "what the driver made of it:" if code.told else "the driver does not tell what it made of it"
        yield from code.told.splitlines()


def constants(values: Sequence[int], shader: str) -> str:
    """Values by id, with the names that they have in the disassembled shader."""
    names: dict[int, list[str]] = {}
    for name, id in _SPECIALIZED.findall(shader):
        names.setdefault(int(id), []).append(name)
    known = [f" ({', '.join(names[id])})" if id in names else "" for id in range(len(values))]
    return ", ".join(f"{id}{name} = {value}" for id, (name, value) in enumerate(zip(known, values, strict=True)))


def disassembled(words: bytes) -> str:
    """SPIR-V as text. Raises MissingPartError without spirv-dis."""
    program = shutil.which("spirv-dis")
    if program is None:
        raise MissingPartError("--disasm: spirv-dis is not installed; install it with: apt-get install spirv-tools")
    done = subprocess.run([program, "--no-color", "-"], input=words, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GgtuiError(f"--disasm: spirv-dis failed: {said[-1] if said else done.returncode}")
    return done.stdout.decode("utf-8", "replace")
