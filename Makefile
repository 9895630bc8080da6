# `make test` and `make demo` set up what they need: a first run installs for some minutes, a second
# starts at once. `make PYTHON=python3.12 test` chooses the interpreter of .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
LOG := $(VENV)/install.log

DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard \
    plugins/*/pyproject.toml examples/plugin/pyproject.toml tests/support/*/pyproject.toml))
MANIFESTS := pyproject.toml constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install -c constraints.txt
# What an installer prints goes to $(LOG); its end is shown only when it fails.
quietly = @echo "$(1)"; $(2) >>$(LOG) 2>&1 || { tail -n 40 $(LOG); echo "see $(LOG)"; exit 1; }

export OMP_NUM_THREADS ?= 1

.PHONY: help setup debian test lint demo many-small bench docs-test clean

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMPS)/installed ## create .venv with the core and every plugin

$(STAMPS)/venv:
	@tools/make-venv "$(PYTHON)" $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# Torch comes first and alone: together with the rest, pip weighs builds that are gigabytes larger.
$(STAMPS)/torch: $(STAMPS)/venv constraints.txt
	$(call quietly,installing torch,$(PIP) setuptools torch)
	@touch $@

$(STAMPS)/installed: $(STAMPS)/torch $(MANIFESTS)
	$(call quietly,installing Star-gen and $(words $(DISTRIBUTIONS)) plugins,\
	    $(PIP) --no-build-isolation -e '.[dev]' $(DISTRIBUTIONS:%=-e %))
	@touch $@

debian:
	@tools/debian-packages

test: setup debian lint ## check style, types and imports, then run the tests
	$(BIN)/python -m pytest

lint: setup ## ruff, pyright and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports --no-logo

clean: ## remove .venv, caches and the folders of campaigns run here
	rm -rf $(VENV) campaigns .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
