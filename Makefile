# SPDX-License-Identifier: Apache-2.0
# Short names for what one does here. Each sets up what it needs first (./bootstrap: nothing to do after the
# first time). The work itself is in CMake presets, the stackrig command and tools/check.
MAKEFLAGS += --no-print-directory
STACKRIG := .venv/bin/stackrig
CHECK := PYTHONPATH=tools .venv/bin/python -m check

# How much of an experiment's grid: smoke (a minute), local (ten), paper.
PROFILE ?= local
# Stages of `make test`, all when empty: format lint build unit python asan tsan tidy fuzz.
STAGES ?=

# Compiled files are found again (ccache) in another clone too.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.PHONY: help setup build test lint format sanitize fuzz lock clean programs

help:
	@echo 'make reproduce-figure-3.6   set up, build, run, draw and judge a figure or table  [PROFILE=smoke|local|paper]'
	@echo 'make bench-NAME             measure one performance bar ($(STACKRIG) bench lists them)'
	@echo 'make test                   all checks and tests  [STAGES="format lint build unit python asan tsan tidy fuzz"]'
	@echo 'make build                  set up and build'
	@echo 'make lint                   format check, ruff, mypy, clang-tidy'
	@echo 'make format                 format C++ and Python in place'
	@echo 'make sanitize               unit tests with address, undefined-behaviour and thread sanitizers'
	@echo 'make fuzz                   every fuzz target for FUZZ_SECONDS (60) each'
	@echo 'make lock                   pin the newest Python packages that pyproject.toml allows'
	@echo 'make clean                  remove build/ (results/ and .venv/ stay)'
	@echo
	@echo '$(STACKRIG) --help shows all verbs; README.md says what this is.'

setup:
	@./bootstrap

build: setup
	@cmake --preset release >build/configure.log || { cat build/configure.log; exit 2; }
	@cmake --build --preset release $(BUILD_ONLY)

programs: BUILD_ONLY = --target programs
programs: build

# A name or profile that does not exist is answered before anything is built.
reproduce-%: setup
	@$(STACKRIG) reproduce $* --profile $(PROFILE) --dry-run >/dev/null
	@$(MAKE) programs
	@$(STACKRIG) reproduce $* --profile $(PROFILE)

bench-%: programs
	@$(STACKRIG) bench $*

test: setup
	@$(CHECK) $(STAGES)

lint: setup
	@$(CHECK) format lint tidy

sanitize: setup
	@$(CHECK) asan tsan

fuzz: setup
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(CHECK) fuzz

format: setup
	@git ls-files --cached --others --exclude-standard -- '*.cc' '*.h' '*.c' | xargs -r clang-format-14 -i
	@.venv/bin/ruff format --quiet . && .venv/bin/ruff check --quiet --fix .

lock: setup
	@.venv/bin/python -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile pyproject.toml --group build --group test --upgrade --quiet \
	  --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url --output-file requirements.lock

clean:
	rm -rf build
