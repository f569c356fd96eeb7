# Every target sets up what it needs. PYTHON chooses the interpreter (3.11 or newer) that .venv is made with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-system check docs test-reliability test-snowflake test-datahub-plugins test-versions bench bench-peers bench-dagster clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 24

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

test-snowflake: setup ## the Snowflake connector, and Dagster's IO manager on it, against fakesnow's server
	@test -e $(SNOWFLAKE)/.prepared || { \
	  $(BIN)/python -m venv --clear $(SNOWFLAKE) \
	  && grep -Ev '^(pandas|sqlalchemy|sqlglot|snowflake-connector-python)==' constraints.txt > $(SNOWFLAKE)/constraints.txt \
	  && $(SNOWFLAKE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(SNOWFLAKE)/constraints.txt \
	       'fakesnow[server]==0.12.1' 'snowflake-connector-python==4.8.1' 'snowflake-sqlalchemy==1.11.1' 'sqlalchemy<2.1' \
	       dagster==1.13.27 dagster-snowflake-pandas==0.29.27 dagster-duckdb-pandas==0.29.27 \
	       pytest pytest-timeout pytest-randomly hypothesis openlineage-python attrs pyyaml pandas pyarrow \
	  && $(SNOWFLAKE)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . \
	  && touch $(SNOWFLAKE)/.prepared; }
	$(SNOWFLAKE)/bin/python -m pytest -p no:cacheprovider tests/capture/test_fakesnow.py tests/capture/test_snowflake.py
	$(SNOWFLAKE)/bin/python -m pytest -p no:cacheprovider tests/dagster/test_snowflake_io_manager.py tests/dagster/test_io_managers.py

test-versions: setup ## the collectors on the oldest and newest versions of their orchestrators
	$(BIN)/python tests/versions/matrix.py

check: setup ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## the documentation as a site, in dist/site/; the pages that the code writes are written anew
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: setup ## the ratios of the hot paths, each against a baseline in the same run
	@cd bench && ../$(BIN)/python translate.py && ../$(BIN)/python accept.py && ../$(BIN)/python delivery.py \
	  && ../$(BIN)/python spool.py && ../$(BIN)/python prefect_events.py && ../$(BIN)/python sql.py && ../$(BIN)/python capture.py

bench-peers: setup ## flows of no-op tasks with the collector, without it, and with what it replaces
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@cd bench && ../$(BIN)/python prefect_tasks.py && ../$(BIN)/python delivery_peers.py

# DataHub's plugin pins another sqlglot than ours, so the peers have an environment of their own.
DAGSTER_PEERS := .versions/dagster-peers

$(DAGSTER_PEERS)/.prepared: | setup
	@$(BIN)/python -m venv --clear $(DAGSTER_PEERS)
	@$(DAGSTER_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  dagster==1.13.27 dagster-postgres==0.29.27 acryl-datahub-dagster-plugin==1.7.0.17 dagster-openlineage==0.2.1 duckdb==2.0.0 \
	  pytest --editable '.[dagster,sql,server,datahub]'
	@touch $@

# By itself, beside .venv: all that it needs is there, and the other tests shall not see it.
PREFECT_PEER := .versions/prefect-datahub

$(PREFECT_PEER)/.prepared: constraints.txt | setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --upgrade \
	  --target $(PREFECT_PEER) prefect-datahub
	@touch $@

test-datahub-plugins: $(DAGSTER_PEERS)/.prepared $(PREFECT_PEER)/.prepared ## what DataHub's own plugins write, beside what we do
	$(BIN)/pytest tests/dagster/test_against_datahub_plugin.py
	PYTHONPATH=$(CURDIR)/$(PREFECT_PEER) $(BIN)/pytest tests/datahub/gms/test_migrate_command.py -k prefect_datahub

bench-dagster: $(DAGSTER_PEERS)/.prepared ## the Dagster sensor beside its peers: what arrives, how fast; RECORDS="10000 100000" for the long log too
	@cd bench && ../$(DAGSTER_PEERS)/bin/python dagster_compare.py \
	  && ../$(DAGSTER_PEERS)/bin/python dagster_sensors.py --records $(or $(RECORDS),10000) \
	  && ../$(DAGSTER_PEERS)/bin/python dagster_latency.py && ../$(DAGSTER_PEERS)/bin/python delivery_dagster.py

clean: ## remove what the targets made
	rm -rf .venv .versions .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
