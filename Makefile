# Every target makes what it needs: a virtual environment in .venv, from the package index alone.

VENV ?= .venv
PYTHONS ?= 3.13 3.12 3.11 3.14
AIRFLOW ?= 3.3.2
HISTORIES ?= 100000
CASES ?= 10000
SEED ?= 0
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
BENCH := .venv-bench
DISTRIBUTED := .venv-scale
RUNS ?=
SCALE ?=
SIDE_BY_SIDE ?= 4
PYTEST = $(PYTHON) -m pytest -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder
SLOW_TESTS := tests/chaos tests/pages tests/postgres

# Airflow writes into its home as soon as it is imported: not into the one of whoever runs this.
export AIRFLOW_HOME := $(CURDIR)/.cache/airflow
# Container images often set this; every process of every Airflow would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-matrix lint types bench chaos scale simulate fuzz mutants docs screenshots release release-check clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## run the example DAG in a real Airflow on sample documents (KEEP=1 leaves the UI up)
	@$(PYTHON) -m dags_examples.demo

test: $(INSTALLED) ## run the tests: unit, integration, a real Airflow, short simulation, the guard of what waiting costs
	@$(PYTEST) $(addprefix --ignore=,$(SLOW_TESTS))

test-slow: $(INSTALLED) ## run those that take minutes: faults in short, PostgreSQL, every block of the documentation
	@$(PYTEST) $(SLOW_TESTS)

lint: $(INSTALLED) ## check style and format
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(VENV)/bin/lint-imports --no-logo

types: $(INSTALLED) ## check types
	@$(PYTHON) -m mypy

bench: $(BENCH)/.installed ## measure what waiting costs, beside other providers
	@$(BENCH)/bin/python -m tests.bench

chaos: $(INSTALLED) ## kill processes and break connections while batches run
	@$(PYTHON) -m tests.chaos

scale: $(DISTRIBUTED)/.installed ## load a distributed Airflow on this machine (RUNS=, SCALE="--chaos", ...: any option)
	@command -v redis-server >/dev/null && { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		postgresql redis-server libfaketime >/dev/null; }
	@$(DISTRIBUTED)/bin/python -m tests.scale $(if $(RUNS),--runs $(RUNS)) $(SCALE)

simulate: $(INSTALLED) ## play 100,000 random histories on a virtual clock (HISTORIES=, SEED=)
	@$(PYTHON) -m tests.simulation --histories $(HISTORIES) --seed $(SEED)

fuzz: $(VENV)/.fuzz ## send the emulator 10,000 requests made up from its own document (CASES=, SEED=)
	@$(PYTHON) -m tests.fuzz --cases $(CASES) --seed $(SEED)

test-matrix: $(INSTALLED) ## run unit and integration tests on every supported Airflow (CELLS="2.11 3.0")
	@$(PYTHON) -m tests.matrix $(if $(CELLS),--only $(CELLS))

mutants: $(VENV)/.mutants ## change the pure modules in one place at a time; a test has to fail each time
	@$(PYTHON) -m tests.mutants

docs: $(VENV)/.docs ## render the documentation into docs/_build, every warning an error
	@$(PYTHON) -m sphinx --quiet -W --keep-going -b html docs docs/_build
	@echo "docs/_build/index.html"

release-check: $(VENV)/.release ## build, install, test and type-check what would be released
	@$(PYTHON) -m tests.release check

release: $(VENV)/.release ## build wheel, sdist and bill of materials into dist/
	@$(PYTHON) -m tests.release build

screenshots: $(INSTALLED) ## make the pictures of the page in Airflow's UI anew (needs chromium)
	@$(PYTHON) -m tests.screenshots

clean: ## remove everything that was made here
	rm -rf $(VENV) $(BENCH) .venv-matrix $(DISTRIBUTED) docs/_build mutants .cache .demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml .ci/venv
	@.ci/venv $(VENV) "$(PYTHONS)" apache-airflow==$(AIRFLOW) --group test --group lint -e '.[emulator]'
	@touch $@

$(VENV)/.mutants: $(INSTALLED)
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --group mutants
	@touch $@

$(VENV)/.fuzz: $(INSTALLED)
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --group fuzz
	@touch $@

$(VENV)/.release: $(INSTALLED)
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --group release
	@touch $@

$(VENV)/.docs: $(INSTALLED)
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --group docs
	@touch $@

# The other providers are no dependency of anything here, so they get an environment of their own.
$(BENCH)/.installed: pyproject.toml tests/bench/requirements-peers.txt .ci/venv
	@.ci/venv $(BENCH) "$(PYTHONS)" -r tests/bench/requirements-peers.txt --group test -e '.[emulator]'
	@touch $@

# Celery and the PostgreSQL driver are no dependency of anything else here.
$(DISTRIBUTED)/.installed: pyproject.toml tests/scale/requirements.txt .ci/venv
	@.ci/venv $(DISTRIBUTED) "$(PYTHONS)" -r tests/scale/requirements.txt --group test -e '.[emulator]'
	@touch $@
