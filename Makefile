# Every target sets up what it needs. PYTHON chooses the interpreter (3.11 or newer) that .venv is made with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test check test-reliability bench clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: .venv/.installed ## a .venv with everything, at the versions of constraints.txt

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv (a minute or two the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## the whole product on this machine, in .demo/
	@$(BIN)/openlineage-bridge demo --folder .demo

test: setup ## all tests but those of test-reliability
	$(BIN)/pytest -m "not reliability"

test-reliability: setup ## tests that kill processes
	$(BIN)/pytest -m reliability

check: setup ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## the ratios of the hot paths, each against a baseline in the same run
	@cd bench && ../$(BIN)/python translate.py && ../$(BIN)/python accept.py && ../$(BIN)/python spool.py && ../$(BIN)/python sql.py

clean: ## remove what the targets made
	rm -rf .venv .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
