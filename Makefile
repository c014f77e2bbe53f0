# `make run` and `make test` are all a newcomer needs: both make .venv and install into it what they lack.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: run test lint types check crash promises bench lock clean
.DEFAULT_GOAL := run

# MARKET=local: the live path against local venues, offline.
run: $(VENV)/.installed-run
	@$(BIN)/python -m bot $(if $(MARKET),$(if $(filter local,$(MARKET)),--local,\
	  $(error MARKET=$(MARKET) is not known: MARKET=local is, and none plays simulated markets)))

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

check:
	@.ci/run

# Kills the bot at every step of the way to a chat, on both stores, and prints what the chats then hold.
crash: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.crash

# Breaks each promise in a copy of the code and sees whether its test notices.
promises: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.promises

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks

# After a change of dependencies in pyproject.toml.
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 pyproject.toml
lock: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) -o requirements.txt
	@$(LOCK) --extra dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Clusterwatch needs Python 3.11 or later as $(PYTHON): install it, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make $(VENV): install its venv module (Debian, Ubuntu: python3-venv)" >&2; exit 1; }

$(VENV)/.installed-run: requirements.txt | $(BIN)/python
	@echo "Installing into $(VENV) (once) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

# The development lock holds all of the other one.
$(VENV)/.installed-dev: requirements-dev.txt | $(BIN)/python
	@echo "Installing into $(VENV) (once) ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $@ $(VENV)/.installed-run
