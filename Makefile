# SPDX-License-Identifier: Apache-2.0
# Builds, checks and runs Tepui. `make help` lists what to ask for; CONTRIBUTING.md says how it works.
MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:

VERSION := $(shell cat VERSION)
# Debian's own interpreter, whatever else is in PATH: the wheels of packages.lock fit this one.
PYTHON := /usr/bin/python3
VENV := build/venv
BIN := $(VENV)/bin
WORKSHOP := PYTHONPATH=build/py $(PYTHON) -m tepui.iso.workshop
JOBS ?= 2

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  DEBUG=1 builds with checks into build/debug; YES=1 installs packages without asking'

include iso/workshop/image.mk
include iso/workshop/python.mk
include iso/workshop/userworld.mk
include iso/workshop/hcl.mk
include iso/workshop/iso.mk
include iso/workshop/check.mk

.PHONY: quick
quick: $(VENV)/project python-lint image test-image hcl/hcl.json ## before every landing: build, lint, fast tests
	@$(ASAN) $(PYTEST) -q -n $(JOBS) -m 'not slow and not soak' --hypothesis-profile quick tests/unit
	@$(MAKE) --no-print-directory smoke

.PHONY: clean
clean: ## remove everything that was built (keeps fetched packages and the environment)
	rm -rf build/obj build/debug build/gen build/unit build/logs build/*.elf build/*.iso
