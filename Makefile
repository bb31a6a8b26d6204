# `make check` is the gate. Everything runs in .venv, which is made on first use and brought up to
# date when setup.cfg or pyproject.toml has changed. Another Python: `make PYTHON=python3.12 check`.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH := .venv-bench

.DEFAULT_GOAL := check
.PHONY: demo test lint types check bench clean

demo: $(INSTALLED)
	$(BIN)/quiver demo

test: $(INSTALLED)
	$(BIN)/python -m pytest --cov --cov-report=term $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy

check: lint types test

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(BENCH) .tox build dist site *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find actors quiver tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not installed: install Python 3.11 or newer," \
	    "or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is `$(PYTHON) --version 2>&1`, but Quiver needs Python 3.11 or newer:" \
	    "name one, such as make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments (no venv or ensurepip):" \
	    "install python3-venv (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The peers have an environment of their own: niquests brings another urllib3 under the same name.
$(BENCH)/.installed: $(INSTALLED) setup.cfg pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@
