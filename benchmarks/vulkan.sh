#!/usr/bin/env bash
# How ggtui runs on a real card: what the machine has, what its device allows, each kernel alone, what the device's
# results are worth, the speed of models with random weights, and a trace. Ten minutes at most; what fails or takes too
# long is told, and the rest still runs.
#
#   benchmarks/vulkan.sh FOLDER
#
# FOLDER gets log.txt with all that is printed, limits.json, bench.jsonl, trace.json.gz, and timeline.json.gz for
# Perfetto. Nothing is set up but what `make build` does; PY must have numpy. By variables, here with their defaults:
#
#   DEVICE=vulkan   PY=.venv/bin/python   BUILD="make build"   (BUILD= : no build)
#   MODELS="124M:q4_0 124M:f16 7B:q4_0"   P=512 N=128 R=3   (tokens of a prompt and to generate, repetitions)
set -uo pipefail
[ $# = 1 ] || { echo "usage: benchmarks/vulkan.sh FOLDER" >&2; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) && cd "$(dirname "$0")/.." || exit 1

device=${DEVICE:-vulkan} python=${PY:-.venv/bin/python} build=${BUILD-make build}
models=${MODELS:-124M:q4_0 124M:f16 7B:q4_0} p=${P:-512} n=${N:-128} r=${R:-3}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# part NAME SECONDS COMMAND...
part() {
  local name=$1 seconds=$2 began=$SECONDS code
  shift 2
  printf '\n== %s\n' "$name"
  timeout -k 5 "$seconds" "$@"
  code=$?
  [ $code = 0 ] && return
  [ $code = 124 ] && code="no more time"
  echo "== $name: failed ($code) after $((SECONDS - began)) s"
  failed+=("$name")
}

ggtui() { part "$1" "$2" "$python" -m ggtui "${@:3}"; }

main() {
  failed=()
  [ -z "$build" ] || part build 120 $build
  ggtui "what the machine has" 20 info
  part "limits of $device" 30 "$python" -c "$limits" "$device" "$out/limits.json"
  ggtui "kernels of $device" 80 perf --kernels --device "$device"
  ggtui "results of $device against the CPU's" 20 perf --on "$device" --n-prompt 32 --top 10

  : >"$out/bench.jsonl"
  local model seconds name
  for model in $models; do
    case $model in 124M:*) seconds=40 ;; *) seconds=150 ;; esac
    part "$model" "$seconds" "$python" -c "$bench" "$out/bench.jsonl" --device "$device" --shape "${model%%:*}" \
      --type "${model#*:}" -p "$p" -n "$n" -r "$r"
  done
  part "speed, and the share of what reading reaches" 20 "$python" -c "$summary" "$out/bench.jsonl" "$out/limits.json"

  part "a model for a trace" 20 "$python" benchmarks/random_model.py 124M q4_0 "$work/124M-q4_0.gguf"
  ggtui "where the time goes" 40 perf "$work/124M-q4_0.gguf" --device "$device" --n-prompt "$p" -n "$((n < 32 ? n : 32))" \
    -r "$r" --json "$work/trace.json" --chrome "$work/timeline.json"
  for name in trace timeline; do
    [ ! -e "$work/$name.json" ] || gzip -c "$work/$name.json" >"$out/$name.json.gz"
  done

  printf '\n== %s s; failed: %s\n' "$SECONDS" "$(IFS=,; echo "${failed[*]:-nothing}")"
  [ ${#failed[@]} = 0 ]
}

read -r -d '' limits <<'PY'
import json, sys
from dataclasses import asdict
from ggtui.core.runtime.several import device
from ggtui.perf.roofline import measure

on = device(sys.argv[1])
found = measure(on, on.pool(1))
if found is None:
    sys.exit(f"{on.name} has no limits that are known")
for size, rate in found.read:
    print(f"reading {size / 2**20:8.2f} MiB: {rate / 1e9:9.1f} GB/s")
for name in ("f32", "f16", "int8"):
    print(f"{name:4} {getattr(found, name) / 1e9:12.1f} G operations/s")
print(f"launch {found.barrier_ns:.0f} ns, submit {found.submit_ns:.0f} ns")
with open(sys.argv[2], "w") as file:
    json.dump(asdict(found), file, indent=1)
PY

# Each test's row is in the file as soon as it is done: what was measured before a time is up stays.
read -r -d '' bench <<'PY'
import subprocess, sys

command = [sys.executable, "-m", "ggtui", "bench", *sys.argv[2:], "-o", "jsonl"]
with open(sys.argv[1], "a") as file:
    sys.exit(subprocess.run(command, stdout=file).returncode)
PY

read -r -d '' summary <<'PY'
import json, sys

with open(sys.argv[1]) as file:
    rows = [json.loads(line) for line in file]
try:
    with open(sys.argv[2]) as file:
        most = json.load(file)["read"][-1][1]
except OSError:
    most = 0.0
for r in rows:
    test = f"pp{r['n_prompt']}" if r["n_prompt"] else f"tg{r['n_gen']}"
    rate = r["bytes_per_token"] * r["avg_ts"]
    share = f"{rate / most:.0%} of the bandwidth at which memory is read" if most and r["n_gen"] else ""
    limit = f"{r['limit']} {r['of_limit']:.0%}" if r["limit"] else ""
    print(f"{r['model_type']:22} {test:6} {r['avg_ts']:10.2f} ± {r['stddev_ts']:.2f} tok/s  "
          f"{rate / 1e9:8.1f} GB/s  {limit:13} {share}")
PY

main 2>&1 | tee "$out/log.txt"
