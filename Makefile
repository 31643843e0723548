SHELL := bash
.SHELLFLAGS := -o pipefail -c

# Every target calls what it needs: each works alone on a fresh machine with Python 3.11+, make and a C++ compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.winnow-ready
OUT ?= runs/quickstart
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(2, os.cpu_count() or 1))")

.PHONY: help setup demo test test-all check lint types house docs format stubs conformance-refresh bench bench-peers gpu-check calibration clean

define CALLING

winnow is called as $(BIN)/winnow. To call it by its name in this shell:
    export PATH="$(CURDIR)/$(BIN):$$PATH"
endef
export CALLING

# What pip is at, one line that moves on a terminal and one line per ten packages elsewhere.
SHOWN := awk '/^Collecting / {n++; if (T) printf "\r    %3d packages looked at: %-40.40s", n, $$2; else if (n % 10 == 0) print "    " n " packages looked at"; fflush()} /^Installing/ {printf "%s    installing %d packages\n", T ? "\r" : "", NF - 3; fflush()} END {if (T) printf "\r%70s\r", ""}' T=$$(test -t 1 && echo 1 || echo 0)

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo "$$CALLING"

setup: $(STAMP)  ## make .venv with everything (torch by pip, CPU build where there is one)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit('winnow needs Python 3.11 or newer') if sys.version_info < (3, 11) else None"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "1/3 an environment in $(VENV)"
	@$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	@echo "2/3 torch (0.2 to 3 GB, by platform)"
	@$(BIN)/python -m pip install --progress-bar off torch==2.13.0 | $(SHOWN)
	@echo "3/3 winnow with everything, and what its tests need (about 130 packages, a minute or two)"
	@$(BIN)/python -m pip install --progress-bar off --constraint constraints.txt --editable '.[all,dev]' | $(SHOWN)
	@touch $@
	@echo "$$CALLING"

demo: setup  ## the whole quickstart: raw text in, curated shards and a measured effect out
	@$(BIN)/winnow run quickstart --out $(OUT)
	@$(BIN)/winnow report $(OUT)
	@echo "$$CALLING"
	@echo "Then: winnow report $(OUT) (the page again), winnow sample $(OUT) --dropped, winnow list"

test: setup  ## the default tests (under 10 minutes on 2 cores)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 60 -m "not slow and not peer and not gpu"

test-all: setup  ## every test this machine can run
	@$(BIN)/python -m pytest

check: setup  ## lint, types, layers, sizes, the documentation's links
	@$(MAKE) --no-print-directory -j $(WORKERS) docs types house lint

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

house: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/test_house.py tests/test_stubs.py -q

docs: setup  ## the documentation site: site/index.html (a broken link fails)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # --quiet would let broken links pass

format: setup  ## apply the formatter and safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

stubs: setup  ## signatures of all operators for type checkers, after a field has changed
	@$(BIN)/python docs/hooks/stubs.py

conformance-refresh: setup  ## run the peers again over tests/conformance's texts (network; four small environments)
	@$(BIN)/python tests/conformance/refresh.py

bench: setup  ## benchmarks: JSON into benchmarks/out
	@mkdir -p benchmarks/out
	@for b in signals minhash runner; do $(BIN)/python benchmarks/bench_$$b.py --json benchmarks/out/$$b.json || exit 1; done

bench-peers: setup  ## winnow and its peers on one input, each in its own environment (network, 24 GB, long)
	@mkdir -p benchmarks/out
	@$(BIN)/python benchmarks/bench_peers.py --json benchmarks/out/peers.json --table benchmarks/out/peers.md

gpu-check:  ## what a GPU makes of winnow, under nine minutes (needs torch, numpy, pyarrow, polars, numba; no setup)
	@$(PYTHON) -m benchmarks.gpu_check.check

calibration: setup  ## what verdicts are worth, on public tables and trained runs (PACKS=DIR, the data packs; an hour, resumed)
	@test -n "$(PACKS)" || { echo "give PACKS=DIR, the folder of the data packs"; exit 2; }
	@mkdir -p benchmarks/out
	@$(BIN)/python benchmarks/bench_calibration.py known simulated same null folds planted --packs $(PACKS) --json benchmarks/out/calibration.json
	@$(BIN)/python docs/figures/calibration.py benchmarks/out/calibration.json

clean:  ## remove caches and builds, kernels too (not .venv, not runs)
	@find winnow -name "*.nb?" -delete
	@rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
