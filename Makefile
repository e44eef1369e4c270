# Each command sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENVS := .venvs
UV := $(VENVS)/tools/bin/uv
RUN := $(VENVS)/airflow-3.3/bin/python
AIRFLOWS := $(VENVS)/airflow-3.3/.ready $(VENVS)/airflow-2.11/.ready
# The newest dbt and the oldest; `make test-dbt DBT=1.11` (or 1.12.0) takes another one for the newest.
DBT ?= 1.12
DBTS = $(VENVS)/dbt-$(DBT)/.ready $(VENVS)/dbt-1.9/.ready
WAREHOUSE := $(VENVS)/warehouse/.ready
# Airflow's versions run on other Pythons than 3.11, so that every supported one is tried: pyenv's or one on the path.
PYTHON_2.8 := 3.9
PYTHON_2.9 := 3.10
PYTHON_2.10 := 3.12
PYTHON_3.0 := 3.12
PYTHON_3.1 := 3.13
PYTHON_3.2 := 3.12
python = $(or $(lastword $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python)),$(1))
# Settings of the person's own Airflow and dbt must not steer ours.
CLEAN_ENV := env -u PYTHONPATH -u DBT_PROFILES_DIR -u DBT_PROJECT_DIR -u BIGQUERY_EMULATOR_HOST -u STORAGE_EMULATOR_HOST \
	TESTED_DBT=$(DBT) AIRFLOW_HOME=$(CURDIR)/$(VENVS)/airflow-home AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__UNIT_TEST_MODE=False

# A file's tests stay together, as they share what is dear to make; an Airflow wants the machine for itself.
SPREAD ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# What ARGS picks may be in one of the two only (pytest ends with 5 where nothing is picked).
PICKED = $(if $(ARGS),|| test $$? -eq 5)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-unit test-dbt test-dbt2 test-acceptance probe fidelity bench chaos matrix bench-dbt2 bench-chain bench-run bench-plot bench-late bench-waiting bench-results docs check format dist clean

help:  ## list the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready $(WAREHOUSE)  ## run a dbt project through a real Airflow; KEEP=1 leaves it running
	@$(CLEAN_ENV) $(RUN) tests/demo/run.py $(if $(KEEP),--keep)

test: $(AIRFLOWS) $(DBTS) $(WAREHOUSE)  ## the tests: unit, dbt, acceptance on two Airflows; without those that take minutes each
	@$(CLEAN_ENV) $(RUN) -m pytest tests -m "not slow and not airflow" $(SPREAD) $(ARGS) $(PICKED)
	@$(CLEAN_ENV) $(RUN) -m pytest tests -m "airflow and not slow" $(ARGS) $(PICKED)

test-slow: $(AIRFLOWS) $(DBTS) $(WAREHOUSE)  ## the tests that `make test` leaves out
	@$(CLEAN_ENV) $(RUN) -m pytest tests -m slow $(ARGS)

test-unit: $(VENVS)/airflow-3.3/.ready  ## the tests that need no dbt, warehouse or Airflow process
	@$(CLEAN_ENV) $(RUN) -m pytest tests/unit -m "not dbt and not warehouse and not airflow" $(ARGS)

test-dbt: $(VENVS)/airflow-3.3/.ready $(DBTS) $(WAREHOUSE)  ## the tests that run a real dbt
	@$(CLEAN_ENV) $(RUN) -m pytest tests -m "(dbt or warehouse) and not airflow and not slow" $(SPREAD) $(ARGS)

test-dbt2: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready $(VENVS)/dbt-2/.ready  ## the tests that run real dbt 2 on its bench
	@$(CLEAN_ENV) $(RUN) -m pytest tests/dbt2 $(ARGS)

test-acceptance: $(AIRFLOWS) $(DBTS) $(WAREHOUSE)  ## the tests that start real Airflow processes
	@$(CLEAN_ENV) $(RUN) -m pytest tests -m airflow $(ARGS)

probe: $(VENVS)/probe/.ready $(VENVS)/dbt-1.12/.ready  ## compare with Cosmos, name by name and argument by argument; ARGS=--write renews docs/cosmos.md
	@$(CLEAN_ENV) AIRFLOW_HOME=$(CURDIR)/$(VENVS)/probe/home $(VENVS)/probe/bin/airflow db migrate >/dev/null 2>&1
	@$(CLEAN_ENV) AIRFLOW_HOME=$(CURDIR)/$(VENVS)/probe/home PATH=$(CURDIR)/$(VENVS)/dbt-1.12/bin:$$PATH $(VENVS)/probe/bin/python -m tests.probe $(ARGS)

PROCESSES ?= $(shell nproc 2>/dev/null || echo 2)
fidelity: $(VENVS)/airflow-3.3/.ready $(DBTS) $(WAREHOUSE) $(VENVS)/fidelity/.ready  ## build every case by real dbt and by us and compare; ARGS='--only cases'
	@AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(CLEAN_ENV) $(RUN) -m tests.fidelity --processes $(PROCESSES) --json .fidelity.json $(ARGS)

bench: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready  ## how long planning takes beside `dbt compile`; ARGS="--rounds 9"
	@$(CLEAN_ENV) $(RUN) -m tests.bench.planning $(ARGS)

bench-dbt2: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready $(VENVS)/dbt-2/.ready  ## how long planning with dbt 2 takes beside its `dbt compile` and beside dbt 1; ARGS="--models 1000 --rounds 1"
	@$(CLEAN_ENV) $(RUN) -m tests.bench.planning_dbt2 $(ARGS)

bench-chain: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready $(WAREHOUSE)  ## how far a run is from its critical path, on a real Airflow; ARGS="--models 10"
	@$(CLEAN_ENV) $(RUN) -m tests.bench.chain $(ARGS)

bench-run: $(VENVS)/airflow-3.3/.ready $(VENVS)/airflow-cosmos/.ready $(VENVS)/dbt-1.12/.ready  ## a whole run on a real Airflow beside `dbt build` and Cosmos; ARGS="--only all --width 16 --tests 0 1"
	@$(CLEAN_ENV) $(RUN) -m tests.bench.whole $(ARGS)

bench-plot: $(VENVS)/airflow-3.3/.ready  ## draw what `make bench-run` has measured; ARGS="one.json two.json --svg growth.svg"
	@$(CLEAN_ENV) $(RUN) -m tests.bench.plot $(ARGS)

bench-late: $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready  ## what late nodes cost that are planned together, beside one by one; ARGS="--nodes 50"
	@AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(CLEAN_ENV) $(RUN) -m tests.bench.late $(ARGS)

bench-waiting: $(VENVS)/airflow-3.3/.ready  ## what it costs to wait for thousands of jobs, beside a long poll for each
	@$(CLEAN_ENV) $(RUN) -m tests.bench.waiting $(ARGS)

bench-results: $(VENVS)/airflow-3.3/.ready $(DBTS) $(WAREHOUSE)  ## how long the results task takes with and without dbt; ARGS="--rounds 9"
	@AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(CLEAN_ENV) $(RUN) -m tests.bench.results $(ARGS)

SEEDS ?= 10
NODES ?= 300
chaos: $(VENVS)/chaos/.ready  ## break a real Airflow on PostgreSQL on purpose; SEEDS=1 NODES=40 is a short one
	@$(CLEAN_ENV) $(VENVS)/chaos/bin/python -m tests.chaos --seeds $(SEEDS) --nodes $(NODES) $(ARGS)

MATRIX := 2.8 2.9 2.10 2.11 3.0 3.1 3.2 3.3 celery
AIRFLOW ?= $(MATRIX)
matrix: $(AIRFLOW:%=$(VENVS)/airflow-%/.ready) $(VENVS)/airflow-3.3/.ready $(VENVS)/dbt-1.12/.ready $(WAREHOUSE)  ## run, clear, retry, kill and run again on real Airflows 2.8 to 3.3, and their unit tests; AIRFLOW=3.1 picks one, ARGS=--no-unit
	@$(CLEAN_ENV) $(RUN) -m tests.matrix $(AIRFLOW) $(ARGS)

check: $(VENVS)/airflow-3.3/.ready  ## lint, format, types and the direction of imports, changing nothing
	@$(VENVS)/airflow-3.3/bin/ruff check .
	@$(VENVS)/airflow-3.3/bin/ruff format --check .
	@$(CLEAN_ENV) $(RUN) -m mypy -p cosmos_async
	@$(CLEAN_ENV) $(VENVS)/airflow-3.3/bin/lint-imports --no-logo --no-cache

format: $(VENVS)/airflow-3.3/.ready  ## let ruff mend what it can
	@$(VENVS)/airflow-3.3/bin/ruff check --fix .
	@$(VENVS)/airflow-3.3/bin/ruff format .

docs: $(VENVS)/docs/.ready  ## make a site of the pages, in docs/_build; warnings are errors
	@$(CLEAN_ENV) AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(VENVS)/docs/bin/python -m sphinx -q -E -n -W --keep-going -b html -d docs/_build/.doctrees docs docs/_build

dist: $(UV)  ## build the wheel and the sdist
	@$(UV) build -q --out-dir dist .

clean:  ## remove the environments and everything built
	rm -rf $(VENVS) .demo .bench .fidelity.json docs/_build build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(UV):
	@echo "Setting up uv ..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 is needed (make PYTHON=python3.11 ...)" if sys.version_info[:2] != (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENVS)/tools
	@$(VENVS)/tools/bin/pip install -q --disable-pip-version-check uv

# An environment is ready when its stamp is newer than its list.
$(VENVS)/airflow-%/.ready: tests/env/airflow-%.txt tests/env/unit.txt setup.cfg | $(UV)
	@echo "Setting up Airflow $* ..."
	@$(UV) venv -q --clear --python $(call python,$(or $(PYTHON_$*),$(PYTHON))) $(VENVS)/airflow-$*
	@$(UV) pip install -q --python $(VENVS)/airflow-$*/bin/python -r $< -e .
	@touch $@

$(VENVS)/docs/.ready: tests/env/docs.txt setup.cfg | $(UV)
	@echo "Setting up Sphinx ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/docs
	@$(UV) pip install -q --python $(VENVS)/docs/bin/python -r $< -e .
	@touch $@

$(VENVS)/chaos/.ready: tests/env/chaos.txt setup.cfg | $(UV)
	@echo "Setting up Airflow on PostgreSQL ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/chaos
	@$(UV) pip install -q --python $(VENVS)/chaos/bin/python -r $< -e .
	@touch $@

$(VENVS)/probe/.ready: tests/env/probe.txt setup.cfg | $(UV)
	@echo "Setting up Cosmos beside our package ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/probe
	@$(UV) pip install -q --python $(VENVS)/probe/bin/python -r $< -e .
	@touch $@

$(VENVS)/dbt-%/.ready: tests/env/dbt-%.txt | $(UV)
	@echo "Setting up dbt $* ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/dbt-$*
	@$(UV) pip install -q --python $(VENVS)/dbt-$*/bin/python -r $< $(addprefix --override ,$(wildcard $(<:.txt=-overrides.txt)))
	@touch $@

$(VENVS)/dbt-2/.ready: tests/env/dbt-2.txt tests/env/warehouse.txt tests/warehouse/prepare.py tests/warehouse/dbt2/install.py tests/warehouse/dbt2/driver.c | $(UV)
	@echo "Setting up dbt 2 ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/dbt-2
	@$(UV) pip install -q --prerelease allow --python $(VENVS)/dbt-2/bin/python -r $<
	@$(VENVS)/dbt-2/bin/python tests/warehouse/prepare.py
	@$(VENVS)/dbt-2/bin/python tests/warehouse/dbt2/install.py
	@touch $@

$(VENVS)/fidelity/.ready: tests/env/fidelity.txt | $(UV)
	@echo "Setting up dbt's adapter test suite ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/fidelity
	@$(UV) pip install -q --python $(VENVS)/fidelity/bin/python -r $<
	@touch $@

$(VENVS)/warehouse/.ready: tests/env/warehouse.txt tests/warehouse/prepare.py | $(UV)
	@echo "Setting up the local warehouse ..."
	@$(UV) venv -q --clear --python $(PYTHON) $(VENVS)/warehouse
	@$(UV) pip install -q --python $(VENVS)/warehouse/bin/python -r $<
	@$(VENVS)/warehouse/bin/python tests/warehouse/prepare.py
	@touch $@
