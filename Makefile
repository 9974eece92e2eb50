# SPDX-License-Identifier: GPL-2.0-or-later
# Needs Python 3.11 or newer, a C compiler and make; everything else is set up in .venv. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
JOBS := $(shell nproc 2>/dev/null || echo 2)
DEMO_ARGS ?=
TEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint build bench crosscheck kernels sanitize clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

demo: build  ## set up, then run the main job: both personalities, one table (cyclescope compare)
	$(BIN)/cyclescope compare $(DEMO_ARGS)

test: build  ## set up, then run the tests
	$(BIN)/python -m pytest $(TEST_ARGS)

lint: $(STAMP)  ## ruff, mypy (strict for the packages) and the import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

build: $(STAMP)  ## compile the core library and the guest images into the tree
	@$(BIN)/cmake -G Ninja -S . -B build/cmake -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DPython3_EXECUTABLE=$(CURDIR)/$(BIN)/python >build.log 2>&1 || { cat build.log; exit 1; }
	@$(BIN)/cmake --build build/cmake -j $(JOBS) >>build.log 2>&1 || { tail -n 60 build.log; exit 1; }
	@$(BIN)/cmake --install build/cmake --prefix . >>build.log 2>&1 || { tail -n 20 build.log; exit 1; }

bench: build  ## speed and memory of the emulator, as series and ratios
	$(BIN)/python -m bench.speed

crosscheck: build  ## boot the same images under QEMU and compare their answers (needs qemu-system-x86_64)
	$(BIN)/python -m pytest -m crosscheck tests/crosscheck

kernels: build  ## boot the kernels of several Debian packages, and have each serve recorded queries (needs apt, nsd)
	$(BIN)/python -m bench.linux_kernels

sanitize: build  ## the core library's tests under the address and undefined-behaviour sanitizers
	bash tools/sanitize.sh $(BIN)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cyclescope needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install it (Debian: python3-venv), or set PYTHON"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check cmake ninja 'scikit-build-core>=0.11' 'unicorn==2.1.4' 'capstone==5.0.*'
	@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -C wheel.cmake=false -C editable.mode=inplace -e '.[dev]'
	@touch $@

clean:  ## remove everything that was built (not .venv)
	rm -rf build build.log emu/core/*.so personalities/linux_like/*.elf personalities/linux_like/programs personalities/libos/*.elf
