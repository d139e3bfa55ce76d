# Sidestream: `make help` lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin
VENV := .venv/bin

.PHONY: help setup demo run test lint format bench docs fuzz clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## bring everything that is needed and build .venv/bin/sidestream
	@scripts/setup

demo: setup ## carry a real call with speech through the gateway; results in demo-output/
	@$(VENV)/sidestream demo --out demo-output

run: setup ## run a gateway with the example configuration
	@$(VENV)/sidestream serve --config examples/sidestream.yaml

test: ## set up and run every test that CI runs
	@scripts/setup tests
	cargo test --workspace --exclude media-python --locked --quiet
	$(VENV)/python -m pytest

lint: setup ## format, lint, types, stub, duplicates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(VENV)/ruff format --check src tests scripts benchmarks examples
	$(VENV)/ruff check src tests scripts benchmarks examples
	$(VENV)/mypy
	$(VENV)/python -m mypy.stubtest sidestream._media --ignore-missing-stub
	$(VENV)/pylint --disable=all --enable=duplicate-code src/sidestream

format: setup ## rewrite sources the way lint wants them
	cargo fmt --all
	$(VENV)/ruff format src tests scripts benchmarks examples
	$(VENV)/ruff check --fix src tests scripts benchmarks examples

docs: setup ## regenerate the pages and diagrams that are made from code
	$(VENV)/python scripts/generate_docs.py

bench: setup ## measure signalling and media; results in benchmarks/results/
	$(VENV)/python benchmarks/signalling.py
	$(VENV)/python benchmarks/run.py

fuzz: setup ## fuzz every parser and machine, SECONDS=300 each; findings in build/fuzz/
	@$(VENV)/python scripts/fuzz.py --seconds $(or $(SECONDS),300) $(TARGETS)

clean: ## remove what was built
	rm -rf .venv .tools target demo-output build
