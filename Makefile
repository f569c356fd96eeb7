# Every target sets up what it needs. PYTHON chooses the interpreter (3.11 or newer) that .venv is made with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-system check test-reliability test-snowflake test-versions bench bench-peers bench-dagster clean

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

test: setup ## all tests but those of the targets below
	$(BIN)/pytest -m "not reliability and not system"

test-system: setup ## tests that run whole orchestrators for many seconds
	$(BIN)/pytest -m system

test-reliability: setup ## tests that kill processes
	$(BIN)/pytest -m reliability

# fakesnow wants an older sqlglot than ours, and Snowflake's dialect an older SQLAlchemy, so they have an environment of their own.
SNOWFLAKE := .versions/fakesnow

test-snowflake: setup ## the Snowflake connector against fakesnow's server
	@test -e $(SNOWFLAKE)/.prepared || { \
	  $(BIN)/python -m venv --clear $(SNOWFLAKE) \
	  && grep -Ev '^(sqlalchemy|sqlglot|snowflake-connector-python)==' constraints.txt > $(SNOWFLAKE)/constraints.txt \
	  && $(SNOWFLAKE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(SNOWFLAKE)/constraints.txt \
	       'fakesnow[server]==0.12.1' 'snowflake-connector-python==4.8.1' 'snowflake-sqlalchemy==1.11.1' 'sqlalchemy<2.1' \
	       pytest pytest-timeout pytest-randomly hypothesis openlineage-python attrs pyyaml pandas pyarrow \
	  && $(SNOWFLAKE)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . \
	  && touch $(SNOWFLAKE)/.prepared; }
	$(SNOWFLAKE)/bin/python -m pytest -p no:cacheprovider tests/capture/test_fakesnow.py tests/capture/test_snowflake.py

test-versions: setup ## the collectors on the oldest and newest versions of their orchestrators
	$(BIN)/python tests/versions/matrix.py

check: setup ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## the ratios of the hot paths, each against a baseline in the same run
	@cd bench && ../$(BIN)/python translate.py && ../$(BIN)/python accept.py && ../$(BIN)/python spool.py && ../$(BIN)/python sql.py && ../$(BIN)/python capture.py

bench-peers: setup ## flows of no-op tasks with the collector, without it, and with what it replaces
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@cd bench && ../$(BIN)/python prefect_tasks.py

# DataHub's plugin pins an older dagster-webserver, so the peers have an environment of their own.
DAGSTER_PEERS := .versions/dagster-peers

bench-dagster: setup ## the Dagster sensor beside dagster-openlineage and DataHub's plugin: what arrives, how fast
	@test -e $(DAGSTER_PEERS)/.prepared || { \
	  $(BIN)/python -m venv --clear $(DAGSTER_PEERS) \
	  && $(DAGSTER_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	       dagster==1.13.27 dagster-postgres==0.29.27 acryl-datahub-dagster-plugin==1.7.0.17 dagster-openlineage==0.2.1 \
	       pytest --editable '.[dagster,sql,server,datahub]' \
	  && touch $(DAGSTER_PEERS)/.prepared; }
	@cd bench && ../$(DAGSTER_PEERS)/bin/python dagster_compare.py && ../$(DAGSTER_PEERS)/bin/python dagster_sensors.py \
	  && ../$(DAGSTER_PEERS)/bin/python dagster_latency.py

clean: ## remove what the targets made
	rm -rf .venv .versions .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
