# `make` lists what there is. Everything runs in a virtual environment that make builds and keeps up to date.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

# A stamp is the date of the last install; it is stale as soon as what is to be installed has changed.
PINS := pyproject.toml constraints.txt
CREATED := $(VENV)/pyvenv.cfg
RUN := $(VENV)/.stamp-run
DEV := $(VENV)/.stamp-dev
BENCH := $(VENV)/.stamp-bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install format lint types test nightly clients bench goldens suites check pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN) ## Install the runtime only and replay the sample conversation, offline
	$(BIN)/frameengine replay traces/conversation-v4-eras.trace.jsonl

install: $(DEV) ## Install everything that development needs into the virtual environment

format: $(DEV) ## Format the code and fix what can be fixed safely
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(DEV) ## Check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV) ## Check types, strictly
	$(BIN)/mypy

test: $(DEV) ## Run the tests, the slow ones left out (PYTEST_ARGS adds arguments)
	$(PYTEST) $(PYTEST_ARGS)

nightly: $(DEV) ## Run all tests, slow ones included, with many more generated examples
	$(PYTEST) -m "nightly or not nightly" --hypothesis-profile=nightly $(PYTEST_ARGS)

clients: $(DEV) ## Record and replay with real clients, current and one major version back, each in its own environment
	$(BIN)/python tests/support/client_environments.py
	$(BIN)/python -m pytest -q -m nightly tests/clients $(PYTEST_ARGS)

bench: $(BENCH) ## Measure against the floors and the peers
	$(BIN)/python -m benchmarks

goldens: $(DEV) ## Replay every approved trace; those in traces/diverging must diverge
	$(BIN)/python -m pytest -q traces

check: lint types test ## Do what a change must pass: lint, types, test

pins: ## Resolve constraints.txt afresh, for all extras (PYTHON should be the oldest supported one)
	rm -rf build/pins
	$(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --upgrade pip
	build/pins/bin/python -m pip install --quiet --upgrade --editable '.[dev,bench]'
	{ sed -n '/^#/p' constraints.txt; \
	  build/pins/bin/python -m pip list --format freeze --exclude-editable --exclude pip; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/pins

clean: ## Remove caches, builds and the virtual environment
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info cli/*.egg-info
	find benchmarks cli fixtures frameengine tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(CREATED):
	$(PYTHON) -m venv $(VENV)

$(RUN): $(PINS) | $(CREATED)
	$(PIP) --editable .
	@touch $@

$(DEV): $(PINS) | $(CREATED)
	$(PIP) --editable '.[dev]'
	@touch $@ $(RUN)

$(BENCH): $(PINS) | $(CREATED)
	$(PIP) --editable '.[dev,bench]'
	@touch $@ $(DEV) $(RUN)
