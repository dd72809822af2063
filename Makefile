# Seven verbs; CI and people call only these. `make demo` and `make test` set everything up.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
TORCH_ARGS ?= torch==2.13.0
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test check proto contracts bench soak docs

demo: $(READY)  ## train the digits program on a network of this machine and show the receipt
	@$(PY) notebooks/demo.py

test: $(READY) check  ## everything CI runs
	$(PY) -m pytest -m "not soak" -q

check: $(READY)  ## format, lint, types, import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

proto: $(READY)  ## regenerate gensyn_lightning/wire/v1
	$(PY) -m grpc_tools.protoc -I gensyn_lightning/wire=proto --python_out=. proto/v1/*.proto

contracts: $(READY)  ## compile the contracts into gensyn_lightning/chain/artifacts
	$(PY) contracts/build.py

bench: $(READY)  ## print the published figures, a JSON document each
	$(PY) benchmarks/overhead.py

soak: $(READY)  ## the long counts: kills, cheats, replays
	$(PY) -m pytest -m soak -q -s

docs: $(READY)  ## state diagrams from the tables, the notebook executed anew
	$(PY) docs/diagrams.py
	$(PY) -m jupyter execute --inplace notebooks/digits.ipynb

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet $(TORCH_ARGS)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
