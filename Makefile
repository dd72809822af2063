# Nine verbs; CI and people call only these. `make demo` and `make test` set everything up.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
TORCH_ARGS ?= torch==2.13.0
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
BUILT := $(VENV)/.built
FOUNDRY := tests/foundry/node_modules/.installed
CHROMIUM := /usr/bin/chromium
REPOPS := gensyn_lightning/repops
SOURCES := $(wildcard $(REPOPS)/*.py $(REPOPS)/programs/*.py $(REPOPS)/csrc/*.[ch] $(REPOPS)/shim/*)
# A wheel for an architecture: its kernels by the machine's own compiler, or by one that crosses.
wheel = GENSYN_KERNELS_REQUIRED=1 GENSYN_ISAS="$(2)" \
	CC="$(if $(filter $(1),$(shell uname -m)),$(or $(CC),cc),$(abspath $(PY)) -I -m ziglang cc -target $(1)-linux-gnu.2.28)" \
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist \
	--config-settings=--build-option=--plat-name=manylinux_2_28_$(1) .

.PHONY: demo test check proto contracts bench soak hardware docs wheels

demo: $(BUILT)  ## train the digits program on a network of this machine and show the receipt
	@$(PY) notebooks/demo.py

test: $(BUILT) $(FOUNDRY) $(CHROMIUM) check  ## everything CI runs
	$(PY) -m pytest -m "not soak and not hardware" -q -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY)  ## format, lint, types, import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

proto: $(READY)  ## regenerate gensyn_lightning/wire/v1
	$(PY) -m grpc_tools.protoc -I gensyn_lightning/wire=proto --python_out=. proto/v1/*.proto

contracts: $(READY)  ## compile the contracts into gensyn_lightning/chain/artifacts
	$(PY) contracts/build.py

bench: $(BUILT)  ## print the published figures, a JSON document each
	$(PY) benchmarks/overhead.py
	$(PY) benchmarks/registry.py
	$(PY) benchmarks/numerics.py
	$(PY) benchmarks/shipping.py

soak: $(BUILT) $(FOUNDRY)  ## the long counts: kills, cheats, replays
	$(PY) -m pytest -m soak -q -n 2 --dist loadfile --no-loadscope-reorder

hardware: $(BUILT)  ## a hundred steps of every program on every kind of machine there is here; all 2^32 inputs
	$(PY) -m pytest -m hardware -q -s

docs: $(BUILT)  ## state diagrams from the tables, the notebooks executed anew
	$(PY) docs/diagrams.py
	PYTHONWARNINGS=ignore::FutureWarning $(PY) docs/notebooks.py

wheels: $(READY)  ## wheels in dist/, each with every kernel library of its architecture, or none at all
	$(PY) -m pip install --quiet ziglang==0.15.1
	rm -rf dist build/lib* build/bdist*
	$(call wheel,x86_64,x86-64-v2 x86-64-v3 x86-64-v4)
	$(call wheel,aarch64,aarch64)

$(READY): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet $(TORCH_ARGS)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(FOUNDRY): $(READY) tests/foundry/package-lock.json
	$(PY) contracts/npm.py tests/foundry
	@touch $@

$(CHROMIUM):
	@test "$$(id -u)" = 0 || { echo "the tests look at notebooks in Debian's Chromium: run apt-get install chromium as root" >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null

$(BUILT): $(READY) $(SOURCES)
	@if command -v $(firstword $(CC)) >/dev/null; then $(PY) -m gensyn_lightning.repops.build; \
	else echo "no C compiler: operators run by the reference, right and slow" >&2; fi
	$(PY) -m gensyn_lightning.repops.shim.build
	@touch $@
