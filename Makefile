# Needs python3 (3.11 or newer) with venv, and nothing else: the first target that wants it makes .venv.

PORT ?= 8000
ARGS ?=

BIN := .venv/bin
# Neighbours share servers: each worker gets a run of them, and takes from the other when it is done.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
STAMP := .venv/installed
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input

.PHONY: help venv demo test test-fast check lint types imports coverage mutants format translations screenshots bench bench-quick clean

define HELP
make demo          serve the demo on http://localhost:$(PORT) (PORT=$(PORT))
make test          run all tests (ARGS= goes to pytest)
make test-fast     run the tests that take less than a second each
make check         all that CI checks: style, types, floors, tests
make coverage      run all tests and tell which branches they missed
make mutants       change the modules that decide in a thousand ways: do the tests notice? (half an hour)
make format        sort imports and format
make translations  bring the catalogues up to date with the sentences in the code
make screenshots   take the pictures in docs/pictures from the running demo
make bench         measure all, beside the peers, and write docs/benchmarks.md (ARGS= names sections)
make bench-quick   measure the flow beside the hand-written floor, in two minutes
make venv          make .venv with everything in it (the others do it by themselves)
make clean         remove .venv, caches and reports
endef

help:
	@: $(info $(HELP))

venv: $(STAMP)

# A working .venv keeps its Python, whatever PATH says today: two Pythons in one do not work.
$(STAMP): pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		for name in python3 python3.14 python3.13 python3.12 python3.11 ''; do \
			if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
		done; \
		if [ -z "$$name" ]; then echo 'mfa-middleware needs Python 3.11 or newer: install it.' >&2; exit 1; fi; \
		$$name -m venv --clear .venv; \
	fi
	@echo 'installing into .venv (half a minute or more)' >&2
	@$(PIP) install --editable '.[all,dev]'
	@: > $@

demo: $(STAMP)
	@$(BIN)/python -m examples.demo --port $(PORT)

test: $(STAMP)
	$(PYTEST) $(ARGS)

test-fast: $(STAMP)
	$(PYTEST) -m 'not slow' $(ARGS)

check: lint types imports test

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --no-logo

coverage: $(STAMP)
	$(PYTEST) --cov $(ARGS)

mutants: $(STAMP)
	@$(PIP) install --editable '.[mutation]'
	$(BIN)/python -m tests.mutants $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

translations: $(STAMP)
	$(BIN)/python -m tests.catalogues

screenshots: $(STAMP)
	$(BIN)/python -m examples.screenshots

# The peers are in a .venv of their own: nothing of ours depends on what they bring.
.venv-bench/installed: pyproject.toml $(STAMP)
	@.venv-bench/bin/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m venv .venv-bench
	@echo 'installing into .venv-bench (a minute)' >&2
	@.venv-bench/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input install --editable '.[all,bench]'
	@: > $@

bench: .venv-bench/installed
	@.venv-bench/bin/python -m benchmarks $(ARGS)

bench-quick: .venv-bench/installed
	@.venv-bench/bin/python -m benchmarks --quick $(ARGS)

clean:
	rm -rf .venv .venv-bench .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
