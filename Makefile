# Everything that you or CI do with this project. `make` alone lists the targets.

PYTHON ?= python3
LOCK = requirements.lock
COMPILED = --quiet --universal --no-annotate --no-header --python-version 3.11
BIN = .venv/bin
READY = .venv/.ready
# These end with Ctrl-C: the shell waits until the program has cleaned up, and make reports no error.
UNTIL_CTRL_C = trap : INT;
OR_ENDED = || [ $$? -eq 130 ]
# Whatever the shell says: without bytecode, each of the many processes that a run starts compiles every module.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help demo up test check check-long troubles chaos day bench bench-long format docs pictures site lock image-locks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## run everything on this machine with simulated carriers; KEEP=1 leaves it running
	@$(UNTIL_CTRL_C) $(BIN)/order-sync demo $(if $(KEEP),--keep) $(OR_ENDED)

up: $(READY) ## run everything on this machine for real use; Ctrl-C stops it
	@$(UNTIL_CTRL_C) $(BIN)/order-sync up $(OR_ENDED)

test: $(READY) ## run the tests, except the long ones, in less than three minutes
	@$(BIN)/pytest -n auto --dist worksteal -q -m "not long"

check: $(READY) ## check formatting, lint, imports, types and all tests, as CI does
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/pytest -n auto --dist worksteal -q

check-long: check ## check everything with more examples, and that the tests notice when a guarantee is taken away
	@$(BIN)/pytest -n auto --dist worksteal -q -m hypothesis --hypothesis-profile thorough
	@$(BIN)/python -m tests.mutants.run
	@$(MAKE) --no-print-directory troubles

troubles: $(READY) ## cause each trouble, and check that it is shown, notified of and settled; NAMES="dead_letter ..."
	@$(BIN)/python -m tests.troubles.run $(NAMES)

chaos: $(READY) ## run real processes with two faults at a time; MINUTES=1, SEED= repeats a run, FAULTS=reads, BUS=amqp, HOSTS=3
	@$(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULTS),--faults "$(FAULTS)") $(if $(BUS),--bus $(BUS)) $(if $(HOSTS),--hosts $(HOSTS))

day: $(READY) ## run a day in fast motion, with a report in var/day/; ORDERS=100000, SEED=1
	@$(BIN)/python -m benchmarks.day $(if $(ORDERS),--orders $(ORDERS)) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## run the benchmarks, in about ten minutes
	@$(BIN)/python -m benchmarks --tls

bench-long: $(READY) ## run the long forms of the benchmarks, in about two hours
	@$(BIN)/python -m benchmarks --tls --long

format: $(READY) ## format the code and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(READY) ## write the generated pages: settings, commands, API quirks, faults, messages and schemas
	@$(BIN)/python docs/write_settings.py
	@$(BIN)/python docs/write_command_line.py
	@$(BIN)/python docs/write_test_tables.py
	@$(BIN)/python -m docs.write_messages
	@$(BIN)/order-sync schema docs/schemas

pictures: $(READY) ## draw the pictures in docs/images and the table of transitions again (needs Graphviz)
	@command -v dot >/dev/null || { echo "make pictures needs Graphviz (apt-get install graphviz)" >&2; exit 1; }
	@$(BIN)/python -m docs.draw_pictures

site: $(READY) ## build the pages as a web site in site/, with strict links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lock: $(READY) ## update the versions in requirements.lock, and the locks of the image (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
	@uv pip compile $(COMPILED) --upgrade --extra local --extra otel --group dev --output-file $(LOCK) pyproject.toml
	@$(MAKE) --no-print-directory image-locks

# The same versions with their hashes: what the image contains, and what builds its wheel.
image-locks:
	@uv pip compile $(COMPILED) --generate-hashes --constraint $(LOCK) --extra otel \
		--output-file deploy/requirements.lock pyproject.toml
	@echo hatchling | uv pip compile $(COMPILED) --generate-hashes --constraint $(LOCK) \
		--output-file deploy/build.lock -

clean: ## remove everything that can be rebuilt; var/ (with the database) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist site var/demo
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: made by uv if it is installed, else by venv and pip. The lock lists every package, also those of the
# extra `local` and the group `dev`, so pip has nothing to resolve and any recent pip works.
$(READY): pyproject.toml $(LOCK)
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python '>=3.11' .venv && \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $(LOCK) && \
		uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
			{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }; \
		$(PYTHON) -m venv .venv || \
			{ echo "This Python has no venv: apt-get install python3-venv (or install uv)" >&2; exit 1; }; \
		echo "Installing the packages of $(LOCK) into .venv ..." && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $@
