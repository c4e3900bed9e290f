# Five commands, each of which can be repeated and works offline once everything is installed:
#   make demo    a real city, one process per signal, with a report
#   make test    everything installed, linted, typed and tested
#   make setup   .venv with all extras
#   make bench   the figures of docs/benchmarks.md
#   make proof   the long proofs of docs/proof.md: ten million commands, every decoder fuzzed, every mutant

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
DEV := build editables hatchling hypothesis import-linter mypy psutil pytest pytest-cov pytest-timeout pytest-xdist ruff schemathesis types-psutil
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test setup bench proof lint clean

demo: $(VENV)/.sim
	$(BIN)/phasemesh run ingolstadt21 --bundle best --compare-with fixed,actuated,max-pressure,max-wave --report report

test: $(VENV)/.all lint
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --cov --cov-report=term:skip-covered

setup: $(VENV)/.all

bench: $(VENV)/.all
	$(BIN)/phasemesh bench

proof: $(VENV)/.all
	$(PIP) atheris mutmut
	$(BIN)/python tests/proof/volume.py --commands 10000000
	$(BIN)/python tests/proof/fuzz.py --all --seconds 600
	$(BIN)/python tests/proof/mutants.py

lint: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sim: $(SOURCES) | $(VENV)/bin/python
	$(PIP) -e '.[sim]'
	touch $@

$(VENV)/.all: $(SOURCES) | $(VENV)/bin/python
	$(PIP) -e '.[sim,train]' $(DEV)
	touch $@ $(VENV)/.sim

clean:
	rm -rf $(VENV) report dist build
