# What a person does with a clone. Each target does all its own set-up.
#
#   make run     start the server (sample papers where Hugging Face cannot be reached)
#   make test    the whole suite on all cores, with its coverage gate
#   make check   lint, types, import contracts; changes nothing
#   make bench   measure, into docs/performance.md (nginx and wrk, where they are installed)
#   make fuzz    damaged pages and queries by the ten thousand; SECONDS=600 SEED=7 for more, and others
#   make soak    two servers, twenty readers, a failing upstream, for ten minutes
#   make audit   known security holes in the libraries that are locked
#   make lock    bring the lock files up to date
#   make screenshots    make the pictures in docs/ again; needs Chromium
#
# Needs Python 3.11 or newer; another than python3 is named with `make PYTHON=python3.13 run`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check bench fuzz soak audit format lock screenshots clean

run: $(VENV)/.run
	@$(BIN)/feedsrv serve --or-demo

test: $(VENV)/.dev
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal -m "not serial"
	$(BIN)/coverage run -m pytest -m serial
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# A time of one's own: SECONDS=600 SEED=7 make fuzz, SECONDS=60 make soak.
SEED ?= 1
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),100) --seed $(SEED)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.soak $(or $(SECONDS),600)

# Needs the internet: it asks for known holes in the versions that are locked. docs/security.md has
# what is known of those that it leaves out.
audit: $(VENV)/.dev
	$(BIN)/uv tool run pip-audit --strict --disable-pip --ignore-vuln CVE-2025-69872 -r requirements.txt

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# SECONDS are those of each run of the load generator. (A default for all would be fuzz's and soak's.)
bench: $(VENV)/.dev
	$(BIN)/python bench/serve.py --seconds $(or $(SECONDS),2)
	$(BIN)/python bench/read.py
	$(BIN)/python bench/cold.py
	$(BIN)/python bench/query.py
	$(BIN)/python bench/keywords.py

# No --emit-index-url: the lock files name packages, versions and hashes, and no place to get them.
lock: $(VENV)/.dev
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml --group dev --output-file requirements-dev.txt

screenshots: $(VENV)/.dev
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf $(VENV) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "feedsrv needs Python 3.11 or newer: make PYTHON=/path/to/python run" >&2; exit 1; }
	@echo "Setting up $(VENV), once ..."
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --editable .
	@touch $@ $(VENV)/.run
