# Forewarn: every target makes the virtual environment it needs and is safe to repeat.

.DEFAULT_GOAL := help
.PHONY: help venv demo test faults check bench bench-full format clean lock

BIN := .venv/bin
STAMP := .venv/.installed
PEERS := .venv/.peers
# Python 3.11 or newer; `make PYTHON=/path/to/python3.12 test` chooses one.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3 python3.12 python3.13)

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

venv: $(STAMP)  ## .venv with everything of requirements.lock (by hash) and forewarn, editable

$(STAMP): requirements.lock pyproject.toml
	@python=; for each in $(CANDIDATES); do \
	  if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$each; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Forewarn needs Python 3.11 or newer; tried: $(CANDIDATES)." >&2; \
	  echo "Install it (Debian: apt-get install python3 python3-venv) or say make PYTHON=..." >&2; \
	  exit 1; fi; \
	echo "Installing into .venv with $$("$$python" --version) ..."; \
	"$$python" -m venv --clear .venv || { \
	  echo "$$python cannot make a virtual environment (Debian: apt-get install python3-venv)." >&2; \
	  exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)  ## parcels stall, customers are told, a region surges: two minutes, nothing else needed
	@$(BIN)/forewarn demo

test: $(STAMP)  ## all tests, fast ones first; real parts where they are installed
	@$(BIN)/python -m pytest

faults: $(STAMP)  ## money under attack: every row 20 times, as a table (half an hour; ROWS=redis SEEDS=3 for less)
	@$(BIN)/python -m tests.faults $(if $(ROWS),--rows $(ROWS)) $(if $(SEEDS),--seeds $(SEEDS))

check: $(STAMP)  ## lint, format, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pipeline.schemas --check
	$(BIN)/python -m pipeline.reference --check

bench: $(PEERS)  ## everything that is measured, beside its peers, in minutes
	@$(BIN)/python -m benchmarks

bench-full: $(PEERS)  ## the same, larger and more often: the figures of docs/performance.md
	@$(BIN)/python -m benchmarks --full --json docs/performance/results.json
	@$(BIN)/python -m benchmarks.report --json docs/performance/results.json
	@$(BIN)/python -m benchmarks.scaling --json docs/performance/results.json

# Quix Streams lives in an environment of its own; Kafka Streams is built by the benchmark itself.
$(PEERS): $(STAMP) requirements-bench.lock requirements-peers.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@$(BIN)/python -m venv --clear .venv/peers
	@.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@touch $(PEERS)

format: $(STAMP)  ## format the code, mend what can be mended, regenerate the schemas
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/python -m pipeline.schemas
	$(BIN)/python -m pipeline.reference

RESOLVE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade)

lock: $(STAMP)  ## resolve the locks anew (keeps versions that still fit; UPGRADE=1 does not)
	$(RESOLVE) pyproject.toml --extra dev --extra parquet --output-file requirements.lock
	$(RESOLVE) --group pyproject.toml:bench --constraint requirements.lock \
	  --output-file requirements-bench.lock
	$(RESOLVE) --group pyproject.toml:peers --output-file requirements-peers.lock

clean:  ## remove .venv and everything generated
	rm -rf .venv build dist benchmarks/kafka_streams/target .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
