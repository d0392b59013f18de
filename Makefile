# Everything a person or a CI does with this project. `make` alone lists it.

PYTHON ?= python3
LOCK = requirements.lock
BIN = .venv/bin
READY = .venv/.ready
# Ctrl-C is how these are meant to end: the shell lets the program clean up, and make reports no error.
UNTIL_CTRL_C = trap : INT;
OR_ENDED = || [ $$? -eq 130 ]

.DEFAULT_GOAL := help
.PHONY: help demo up test check chaos bench format docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## the whole job on this machine with the sandbox carriers; KEEP=1 leaves it running
	@$(UNTIL_CTRL_C) $(BIN)/order-sync demo $(if $(KEEP),--keep) $(OR_ENDED)

up: $(READY) ## everything on this machine for real use; Ctrl-C ends it
	@$(UNTIL_CTRL_C) $(BIN)/order-sync up $(OR_ENDED)

test: $(READY) ## the tests
	@$(BIN)/pytest -n auto -q

check: $(READY) ## formatting, lint, types and tests: what CI runs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -n auto -q

chaos: $(READY) ## real processes while two things at a time go wrong; MINUTES=1, SEED= repeats one
	@$(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## the benchmarks
	@$(BIN)/python -m benchmarks

format: $(READY) ## format the code and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(READY) ## write the generated pages: docs/settings.md, api-quirks.md, faults.md and docs/schemas
	@$(BIN)/python docs/write_settings.py
	@$(BIN)/python docs/write_test_tables.py
	@$(BIN)/order-sync schema docs/schemas

lock: $(READY) ## renew the versions in requirements.lock (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
	@uv pip compile --quiet --upgrade --universal --no-annotate --no-header --python-version 3.11 \
		--extra local --group dev --output-file $(LOCK) pyproject.toml

clean: ## remove what can be made again; var/ (the database) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist var/demo
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: uv where there is one, else venv and pip. The lock names every package, those of the extra `local` and
# of the group `dev` too, so pip resolves nothing and any pip of the last years will do.
$(READY): pyproject.toml $(LOCK)
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python '>=3.11' .venv && \
		uv pip install --quiet --python $(BIN)/python -r $(LOCK) && \
		uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
			{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }; \
		$(PYTHON) -m venv .venv || \
			{ echo "this Python has no venv: apt-get install python3-venv (or install uv)" >&2; exit 1; }; \
		echo "Installing the packages of $(LOCK) into .venv ..." && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $@
