# One verb per target. The first two are all that a newcomer needs.
.DEFAULT_GOAL := help
.PHONY: help run test walk lint fmt docs bench conformance reference schema changelog clean
SHELL := /bin/sh

BIN := .venv/bin
root := $(filter 0,$(shell id -u))

# make run UP="--external-cidr 203.0.113.1/24": options of `weft up`
UP ?=
# make test TESTS="tests/unit -k port": what of the tests; WORKERS: how many at once
TESTS ?= tests
WORKERS ?= 2
# make test DATABASES=sqlite: on which databases the API is tested
DATABASES ?= sqlite,postgresql
# make test CONFORMANCE=full: of the public tempest suites all cases, not only those they mark as smoke
CONFORMANCE ?= smoke
# make walk WALK="--walk-steps 20000 --walk-seed 7 -k ovn": how far, from where, on which dataplane
WALK ?= --walk-steps 5000
# make bench BENCH="--only port --big 1000": options of benchmarks/api.py
BENCH ?=

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /    make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

run:  ## install what is missing and start Weft on this machine (options: UP="...")
	@scripts/system-packages $(if $(findstring ovn,$(UP)),ovn,run)
	@scripts/venv run
ifeq ($(root),)
	@echo "weft: not root, so no packets: the API, identity and database run, namespaces and firewall do not." >&2
	@exec $(BIN)/weft up --no-dataplane $(UP)
else
	@exec $(BIN)/weft up $(UP)
endif

test:  ## install what is missing and run every test (choose: TESTS="...", WORKERS=n)
	@scripts/system-packages test
	@scripts/venv dev
ifeq ($(root),)
	@echo "weft: not root, so the tests that send packets are skipped; the summary names them." >&2
endif
	@exec $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --timeout 300 --databases $(DATABASES) --conformance $(CONFORMANCE) $(TESTS)

walk:  ## a long random walk through the API on each dataplane, and whether all laws hold (options: WALK="...")
	@scripts/system-packages test
	@scripts/venv dev
	@exec $(BIN)/pytest tests/topo/random_walk --capture no $(WALK)

lint:  ## style, types and who may import whom
	@scripts/venv dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt:  ## put the code into the house's format
	@scripts/venv dev
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

docs:  ## build the documentation; a broken link is an error
	@scripts/venv dev
	$(BIN)/python scripts/reference --check
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b dirhtml docs docs/_build
	@echo "docs/_build/index.html"

bench:  ## measure a fresh Weft beside the figures of upstream (options: BENCH="...")
	@scripts/venv dev
	@$(BIN)/python -m benchmarks.api $(BENCH)
	@$(BIN)/python -m benchmarks.packets

conformance:  ## all of the public tempest suites against a fresh Weft beside a real Keystone; writes docs/conformance.md
	@scripts/venv dev
	@exec $(BIN)/pytest tests/conformance/test_suites.py --databases postgresql --conformance page

reference:  ## write the generated pages of the documentation anew
	@scripts/venv dev
	$(BIN)/python scripts/reference

schema:  ## write the first revision of the database anew, after changing a table
	@scripts/venv dev
	$(BIN)/python scripts/schema

changelog:  ## turn changelog.d/ into a section of CHANGELOG.md (VERSION=x.y.z)
	@scripts/venv dev
	$(BIN)/towncrier build --version "$(VERSION)"

clean:  ## remove everything that was built here (not the state of an installation)
	rm -rf .cache .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
	rm -rf benchmarks/results *.egg-info
	find weft tests scripts benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
