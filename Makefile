# The tasks of a checkout. `make` lists them; each target installs what it needs.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
LITE := tests/backends/lite
# Arguments for the tool that a target runs: make test ARGS="-k download", make demo ARGS=--reset
ARGS :=

# Written after an installation, so that the next call does nothing.
DEMO_READY := $(VENV)/.ready-demo
DEV_READY := $(VENV)/.ready-dev
NODE_READY := $(LITE)/node_modules/.ready

# The environment with PEFT, transformers and torch that `make real` compares with. One that exists:
# make real REAL_PYTHON=/path/to/python
REAL_VENV := .venv-real
REAL_PYTHON := $(REAL_VENV)/bin/python
REAL_READY := $(REAL_VENV)/.ready
REAL_CASES := build/real

# The environment with the vLLM that `make real-vllm` starts. One that exists:
# make real-vllm VLLM_PYTHON=/path/to/python
VLLM_VENV := .venv-vllm
VLLM_PYTHON := $(VLLM_VENV)/bin/python
VLLM_READY := $(VLLM_VENV)/.ready

# Where bytecode is not written, each of the many programs that tests start would compile it anew.
COMPILE = $(BIN)/python -m compileall -q src tests
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest
QUICK := tests/unit tests/cache tests/sync tests/tui

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(DEMO_READY) ## open the application on generated data: no account, no network
	@$(BIN)/lora-tui demo $(ARGS)

.PHONY: test
test: $(DEV_READY) $(NODE_READY) ## all tests
	@$(COMPILE)
	$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: quick
quick: $(DEV_READY) ## the tests for the edit loop, under a minute: no pictures, no programs, nothing slow
	@$(COMPILE)
	$(PYTEST) -q -n 4 --dist worksteal -m "not slow and not picture" $(QUICK) $(ARGS)

.PHONY: contract
contract: $(DEV_READY) ## check Storage's responses: the sandbox, or the server of LORA_TUI_CONTRACT_URL
	@$(BIN)/python -m tests.contract.storage_table $(ARGS)

.PHONY: lint
lint: $(DEV_READY) ## style, likely mistakes, formatting, layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

.PHONY: types
types: $(DEV_READY) ## mypy --strict
	$(BIN)/mypy

.PHONY: check
check: lint types test ## lint, types and tests

.PHONY: format
format: $(DEV_READY) ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(DEV_READY) ## measure performance, each figure against a named peer (ARGS="sync queries")
	@$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: bench-transfers
bench-transfers: $(DEV_READY) ## downloads against curl and aria2c; needs nginx too
	@$(BIN)/python benchmarks/bench_transfers.py $(ARGS)

.PHONY: campaign
campaign: $(DEV_READY) ## kill, starve and mislead processes for ten minutes (ARGS="--seconds 60 --seed 9")
	@$(BIN)/python -m tests.campaign $(ARGS)

.PHONY: fuzz
fuzz: $(DEV_READY) ## the fuzz tests with 500 examples each instead of a few
	LORA_TUI_FUZZ=500 $(BIN)/pytest -q tests/fuzz $(ARGS)

.PHONY: real
real: real-peft real-vllm ## both of the next two

.PHONY: real-peft
real-peft: $(DEV_READY) $(if $(filter $(REAL_VENV)/%,$(REAL_PYTHON)),$(REAL_READY)) ## compare with real PEFT and torch on adapters and runs made by them; installs 1 GB at first
	$(REAL_PYTHON) -m tests.real.peft_side.make_cases $(REAL_CASES)
	LORA_TUI_REAL_CASES=$(REAL_CASES) LORA_TUI_REAL_PYTHON=$(abspath $(REAL_PYTHON)) \
		$(PYTEST) -n 2 --dist loadgroup tests/real $(ARGS)

.PHONY: real-vllm
real-vllm: $(DEV_READY) $(if $(filter $(VLLM_VENV)/%,$(VLLM_PYTHON)),$(VLLM_READY)) ## load adapters into a real vLLM on the CPU; installs 3.5 GB at first
	LORA_TUI_REAL_VLLM=$(abspath $(VLLM_PYTHON)) $(PYTEST) tests/real $(ARGS)

.PHONY: screenshots
screenshots: $(DEV_READY) ## draw the pictures of the documentation again
	$(BIN)/python scripts/screenshots.py $(ARGS)

.PHONY: reference
reference: $(DEV_READY) ## write docs/commands.md, docs/keys.md and the tables of docs/configuration.md, docs/conditions.md and docs/sql.md from the program
	@$(BIN)/python scripts/command_reference.py
	@$(BIN)/python scripts/key_reference.py
	@$(BIN)/python scripts/settings_reference.py
	@$(BIN)/python scripts/column_reference.py
	@$(BIN)/python scripts/sql_reference.py

.PHONY: man
man: $(DEV_READY) ## write docs/lora-tui.1, the manual page
	@$(BIN)/python scripts/manual_page.py

.PHONY: package-check
package-check: $(DEV_READY) ## build wheel and sdist, install, and run the demo from them
	scripts/package-check $(ARGS)

.PHONY: browser-check
browser-check: $(DEV_READY) ## check `lora-tui serve` in a headless Chromium, which must be installed
	@$(BIN)/python scripts/browser_check.py

.PHONY: fresh-check
fresh-check: ## check everything in the README, in a new clone with an empty home
	scripts/fresh-check $(ARGS)

.PHONY: setup
setup: $(DEV_READY) $(NODE_READY) ## install everything that the other targets need
	@scripts/setup --check

.PHONY: pins
pins: ## lock the dependencies after a change of pyproject.toml
	scripts/pins $(ARGS)

.PHONY: upgrade
upgrade: ## lock the newest versions that pyproject.toml allows
	scripts/pins --upgrade

.PHONY: clean
clean: ## remove the files of tools; the installation stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis snapshot_report.html
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.PHONY: distclean
distclean: clean ## remove the installation too
	rm -rf $(VENV) $(REAL_VENV) $(VLLM_VENV) $(LITE)/node_modules

$(DEMO_READY): requirements/demo.txt requirements/build.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV) demo
	@touch $@

$(DEV_READY): requirements/dev.txt requirements/build.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV) dev
	@touch $@

$(REAL_READY): requirements/real.txt requirements/real-torch.in scripts/setup
	@scripts/setup $(REAL_VENV) real
	@touch $@

$(VLLM_READY): requirements/vllm.txt requirements/real-torch.in scripts/setup
	@scripts/setup $(VLLM_VENV) vllm
	@touch $@

$(NODE_READY): $(LITE)/package.json $(LITE)/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing; on Debian: apt-get install npm" >&2; exit 1; }
	@echo "installing the test backend (npm)"
	@npm ci --prefix $(LITE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
