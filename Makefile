# The one place that says how the code is linted, typed and tested: tox.ini and .ci/run call it.
# `make check` is the gate. Everything runs in .venv, which is made on first use; what a target needs
# is added to it, and brought up to date when setup.cfg or pyproject.toml has changed. Another
# Python: `make PYTHON=python3.12 check`.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
# A file of releases with their hashes (.ci/locked.txt): nothing else is installed then.
LOCKED ?=

VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
INSTALL := -m pip install --quiet --disable-pip-version-check --editable
# Whoever gives a BIN (tox does) has filled that environment: then nothing is installed.
filled = $(if $(filter command,$(origin BIN)),,$(VENV)/.$(1))

# tests/conftest.py says in how many workers, and what goes first. The tests of one file share what
# its fixtures make.
PARALLEL := --numprocesses logical --dist loadfile --no-loadscope-reorder
EACH := --hypothesis-profile long
COVERAGE := --cov --cov-report=term

.DEFAULT_GOAL := check
.PHONY: demo test long lint types check bench clean
.NOTPARALLEL: # all install into one environment
# Some machines set it; the tests start hundreds of programs, and each would compile the library anew.
unexport PYTHONDONTWRITEBYTECODE

demo: $(call filled,demo)
	$(BIN)/quiver demo

test: $(call filled,test) $(call filled,compiled)
	$(BIN)/python -m pytest $(PARALLEL) $(if $(ALL),$(EACH) $(COVERAGE)) $(PYTEST_ARGS)

# Untraced, as they would take twice as long; the floor of coverage holds without them. Of a few files
# that PYTEST_ARGS names none may be long.
long: $(call filled,test) $(call filled,compiled)
	$(BIN)/python -m pytest $(PARALLEL) $(EACH) -m "long and not slow" $(PYTEST_ARGS) || [ $$? -eq 5 ]

lint: $(call filled,dev)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(call filled,dev)
	$(BIN)/mypy

# With ALL, `test` tries each property on all of its examples, and measures coverage.
check: ALL := yes
check: lint types test long

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(BENCH) .tox build dist site *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find actors quiver tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# One environment, to which each of these adds what the one before it did not need.
$(VENV)/.demo: EXTRA := cli
$(VENV)/.test: EXTRA := test
$(VENV)/.dev: EXTRA := dev
$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.made setup.cfg pyproject.toml
	$(if $(LOCKED),$(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCKED))
	$(BIN)/python $(INSTALL) '.[$(EXTRA)]' $(if $(LOCKED),--no-deps --no-build-isolation)
	@touch $@

# Each worker would compile every test for itself: once, by halves, before there are workers. What
# cannot be imported is told by them.
$(VENV)/.compiled: $(VENV)/.test
	@$(BIN)/python -m pytest -qq --collect-only tests/quiver >/dev/null & \
	  $(BIN)/python -m pytest -qq --collect-only --ignore=tests/quiver >/dev/null; wait
	@touch $@

$(VENV)/.made:
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
	@touch $@

# The peers have an environment of their own: niquests brings another urllib3 under the same name.
$(BENCH)/.installed: $(VENV)/.made setup.cfg pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(INSTALL) '.[bench]'
	@touch $@
