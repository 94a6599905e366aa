# Development commands. Each target installs what it needs into .venv.
#
#   make run     start the server (with sample papers if Hugging Face is unreachable)
#   make test    run the test suite on all cores, with its coverage gate
#   make check   lint, types, import rules; changes nothing
#   make bench   run the benchmarks, and update docs/performance.md (nginx, wrk and chromium are optional)
#   make fuzz    fuzz the parsers; SECONDS=600 SEED=7 for a longer run with other input
#   make attack  attack a running server for nine minutes: hostile upstream, odd requests, many addresses
#   make soak    run two servers and twenty readers against a failing upstream for ten minutes
#   make audit   look up known vulnerabilities of the locked dependencies
#   make lock    update the lock files
#   make screenshots    update the screenshots in docs/; needs Chromium
#
# Needs Python 3.11 or newer; choose another than python3 with `make PYTHON=python3.13 run`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check bench fuzz attack soak audit format lock screenshots clean

run: $(VENV)/.run
	@$(BIN)/feedsrv serve --or-demo

# Half as many processes more than there are cores, because many tests wait.
WORKERS = $(shell $(BIN)/python -c "import os; print((os.cpu_count() or 2) * 3 // 2)")
# Hundreds of processes import the package, so its bytecode is stored whatever the environment says.
test: $(VENV)/.dev
	@rm -f .coverage .coverage.*
	PYTHONDONTWRITEBYTECODE= $(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not serial"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m serial tests/system tests/replay
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# To set the duration: SECONDS=600 SEED=7 make fuzz, SECONDS=60 make soak.
SEED ?= 1
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),100) --seed $(SEED)

attack: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.attack --seed $(SEED)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.soak $(or $(SECONDS),600)

# Needs the internet. docs/security.md explains the vulnerability that is ignored here.
audit: $(VENV)/.dev
	$(BIN)/uv tool run pip-audit --strict --disable-pip --ignore-vuln CVE-2025-69872 -r requirements.txt

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# SECONDS is the duration of each run of the load generator. (fuzz and soak have other defaults.)
bench: $(VENV)/.dev
	$(BIN)/python bench/serve.py --seconds $(or $(SECONDS),2)
	$(BIN)/python bench/parse.py
	$(BIN)/python bench/cold.py
	$(BIN)/python bench/start.py
	$(BIN)/python bench/query.py
	$(BIN)/python bench/keywords.py
	$(BIN)/python bench/pages.py

# No --emit-index-url: the lock files have packages, versions and hashes, but no package index.
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
