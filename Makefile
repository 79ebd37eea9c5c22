# `make help` lists the targets. Everything happens in .venv, made from the lock: by uv where there is one, else by pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := server protocol tests bench
ARGS ?=
SEEDS ?= 1000
# Of flake8-async's rules, not: 114, which wants every startable function listed; 124, which does not see that views must be
# async; and the optional ones on checkpoints in every path (900 to 913): a reader that has buffered messages has none.
ASYNC_OFF := ASYNC114,ASYNC124,ASYNC900,ASYNC910,ASYNC911,ASYNC912,ASYNC913
EXPORT := uv export --frozen --quiet --all-extras --all-groups --no-emit-project --no-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup run test check ci bench audit compat live simulate mutants format lock docs clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)

$(READY): pyproject.toml uv.lock requirements.lock
	@if command -v uv >/dev/null 2>&1; then \
	  uv sync --frozen --all-extras --quiet; \
	else \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with PYTHON=...")' && \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@touch $(READY)

run: $(READY) ## set up and start the server; prints the URL (ARGS="--port 9000")
	@$(BIN)/liveavatar serve $(ARGS)

test: $(READY) ## run all tests that need no extra service (ARGS="tests/protocol -k name")
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## format, lint, types, layers, lock and docs in step, tests
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/flake8-async --disable $(ASYNC_OFF) $$(git ls-files 'server/*.py' 'protocol/*.py')
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m server.cli.reference --check
	@if command -v uv >/dev/null 2>&1; then \
	  uv lock --check --quiet && $(EXPORT) | diff -q - requirements.lock >/dev/null || { echo "requirements.lock is not in step: make lock"; exit 1; }; \
	else echo "uv is not installed: the lock was not checked"; fi
	$(BIN)/python -m pytest $(ARGS)

ci: ## what the build server runs: installs system packages, requires the service tests
	@bash .ci/run

bench: $(READY) ## measure: steady audio both ways, text turns with search (ARGS="text-turns --json out.json")
	@$(BIN)/python -m bench $(ARGS)

compat: $(READY) ## real client packages, each in an environment of its own, against a server (ARGS="livekit")
	@$(BIN)/python -m tests.compat $(ARGS)

audit: $(READY) ## known vulnerabilities of what is installed; says so where the index does not answer
	@$(BIN)/python -m tests.audit

live: $(READY) ## the contract tests against your own subscription: environment and .env (costs some cents)
	@TESTS_LIVE=1 $(BIN)/python -m pytest tests/contract -k live -v --tb=short $(ARGS)

simulate: $(READY) ## whole sessions under seeded faults in virtual time (SEEDS=10000)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --jobs 2 $(ARGS)

mutants: $(READY) ## plant known faults in the code; the simulation must find each
	@$(BIN)/python -m tests.simulation.mutants $(ARGS)

format: $(READY) ## format the code and fix what can be fixed
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)


lock: ## bring uv.lock and requirements.lock up to date
	uv lock
	$(EXPORT) > requirements.lock

docs: $(READY) ## write the generated parts of the docs
	$(BIN)/python -m server.cli.reference --write

clean: ## remove the environment and caches (not your data/)
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
