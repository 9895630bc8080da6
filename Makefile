# `make test` and `make demo` set up what they need: a first run installs for some minutes, a second
# starts at once. `make PYTHON=python3.12 test` chooses the interpreter of .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
LOG := $(VENV)/install.log

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
TEST_PLUGINS := $(patsubst %/pyproject.toml,%,\
    $(wildcard examples/plugin/pyproject.toml tests/support/*/pyproject.toml))

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install -c constraints.txt
# What an installer prints goes to $(LOG); its end is shown only when it fails.
quietly = @echo "$(1)"; $(2) >>$(LOG) 2>&1 || { tail -n 40 $(LOG); echo "see $(LOG)"; exit 1; }

export OMP_NUM_THREADS ?= 1

.PHONY: help setup gpaw gpaw-if-possible debian test lint demo many-small bench clean

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMPS)/plugins ## create .venv with the core and every plugin

$(STAMPS)/venv:
	@tools/make-venv "$(PYTHON)" $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# Torch comes first and alone: together with the rest, pip weighs builds that are gigabytes larger.
$(STAMPS)/torch: $(STAMPS)/venv constraints.txt
	$(call quietly,installing torch,$(PIP) setuptools torch)
	@touch $@

$(STAMPS)/plugins: $(STAMPS)/torch pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(call quietly,installing Star-gen and its plugins,\
	    $(PIP) --no-build-isolation -e . $(PLUGINS:%=-e %))
	@touch $@

# What tests and checks need besides: tools, and plugins that only tests use.
$(STAMPS)/tests: $(STAMPS)/plugins $(TEST_PLUGINS:%=%/pyproject.toml)
	$(call quietly,installing the tools of the tests,\
	    $(PIP) --no-build-isolation -e '.[dev]' $(TEST_PLUGINS:%=-e %))
	@touch $@

gpaw: setup ## build GPAW, the DFT engine that anyone may have, in .venv/gpaw
	@plugins/gpaw/install $(VENV)

# Where it cannot be had, what needs it says so.
gpaw-if-possible: setup
	@plugins/gpaw/install $(VENV) || echo "GPAW is not installed; what needs it is left out"

debian:
	@tools/debian-packages

test: $(STAMPS)/tests debian gpaw-if-possible lint ## check style, types and imports, then run the tests
	$(BIN)/python -m pytest

lint: $(STAMPS)/tests ## ruff, pyright and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports --no-logo

demo: gpaw-if-possible ## run the quickstart campaign end to end and show what it found
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/quickstart/demo

many-small: setup ## run 50,000 tiny candidates and print the master's peak memory
	@$(BIN)/python examples/many-small/peak_memory.py

bench: $(STAMPS)/tests ## run the benchmarks; tables on the screen, JSON in benchmarks/results/
	@for file in $$(grep -l __main__ benchmarks/*.py); do \
	    echo; echo "== $$file"; $(BIN)/python $$file || exit 1; \
	done

clean: ## remove .venv, caches and what campaigns run here left
	rm -rf $(VENV) campaigns examples/*/*.db* examples/quickstart/without-dft.toml .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
