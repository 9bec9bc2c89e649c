# The commands of this repository. Each makes what it needs first: .venv, the native part, its own build directory.
#   make demo    real data through a daemon between real processes       make test     all that CI runs
#   make lint    ruff, mypy --strict, columns of C                       make bench    figures, side by side with peers
#   make docs    HTML in build/docs/html, and man/ anew                   make soak    SECONDS=60 of everything at once
#   make lab     small programs that show how the parts work, one by one
# PYTHON=/path/to/python3.11 chooses the interpreter of .venv.

PYTHON ?= python3
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
MAKEFLAGS += --no-print-directory

.PHONY: venv build demo test lint docs bench check-long clean soak native-test native-asan native-tsan native-aarch64 fuzz mutants pytest lab

venv:
	@tools/venv.sh

build: venv
	@tools/build.sh

demo: build
	@$(BIN)/kcoro demo

test: build
	@$(BIN)/python tools/lanes.py

pytest: build
	@$(BIN)/python -m pytest tests

lint: venv
	@$(BIN)/python tools/lint.py

docs: venv
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs/html
	@$(BIN)/python tools/gen_man.py
	@echo "docs: build/docs/html/index.html, man/"

bench: build
	@tools/bench.sh $(ARGS)

check-long: build
	@$(BIN)/python tools/lanes.py --long

native-test native-asan native-tsan native-aarch64: venv
	@tools/native.sh $@

lab: venv
	@tools/lab.sh

fuzz: venv
	@$(BIN)/python tools/fuzz.py

soak: build
	@$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),60)

mutants: build
	@$(BIN)/python tools/mutants.py

clean:
	@echo "clean: removing .venv, build and caches"
	@rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
