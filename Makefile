# `make up` and `make test` need Python 3.11 or newer and make, nothing else.
# ATOLL_API_PORT, ATOLL_BASE_PORT, ATOLL_STATE_DIR and ATOLL_AGENTS_DIR are read by ATOLL itself,
# from the environment or as `make up ATOLL_API_PORT=9000`.

VENV := .venv
RUN := $(VENV)/run.stamp
TEST := $(VENV)/test.stamp
CLIENTS := $(VENV)/clients.stamp
PINS := pyproject.toml scripts/setup requirements/run.txt requirements/local.txt
PAGES := $(wildcard agent_runtime/atoll/http/reference/assets.txt)

# Where no home is set, pip and ATOLL would write to the root of the file system.
ifeq ($(HOME),)
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

.DEFAULT_GOAL := help
.PHONY: help up setup test lint soak bench lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

up: $(RUN) ## set up, fetch the embedded model, run the example fleet (Ctrl-C stops it)
	@scripts/model
	@exec $(VENV)/bin/atoll up

setup: $(TEST) $(CLIENTS) ## make .venv with everything that running and testing needs

test: $(TEST) $(CLIENTS) ## every check and test
	@scripts/check

lint: $(TEST) ## every check, without the tests
	@scripts/check lint

soak: $(TEST) ## the tests that take longer than `make test` may
	@$(VENV)/bin/pytest -m soak --timeout 3600 || [ $$? -eq 5 ]

bench: $(RUN) ## fresh clone to first token, measured
	@$(VENV)/bin/python benchmarks/first_token.py

lock: $(TEST) ## pin the newest versions of all requirements
	@$(VENV)/bin/python scripts/lock.py

clean: ## delete .venv and caches; state and models stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist

$(RUN): $(PINS)
	@scripts/setup run
	@touch $@

$(TEST): $(PINS) $(PAGES) requirements/test.txt
	@scripts/setup test
	@touch $(RUN) $@

$(CLIENTS): $(TEST) requirements/clients.txt requirements/npm/package-lock.json
	@scripts/setup clients
	@touch $@
