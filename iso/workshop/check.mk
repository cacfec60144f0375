# SPDX-License-Identifier: Apache-2.0
# Checks: lint, unit tests, system tests.

# Sanitized C units are loaded into Python, so the runtime has to be there first.
ASAN := LD_PRELOAD=$$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libubsan.so) \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1
PYTEST := $(BIN)/python -m pytest

C_FILES := $(shell find vmkernel drivers tests -name '*.[ch]' 2>/dev/null)

.PHONY: lint
lint: structure format-check ## ruff, mypy --strict, clang-format, layers and sizes; counts lines

.PHONY: structure
structure: python-lint
	@$(PYTEST) -q tests/unit/test_structure.py
	@$(PYTHON) iso/workshop/lines.py

.PHONY: python-lint
python-lint: $(VENV)/project
	@$(BIN)/ruff check --quiet hcl shell iso tests
	@$(BIN)/mypy --no-error-summary -p tepui.hcl -p tepui.shell -p tepui.iso
	@$(BIN)/mypy --no-error-summary -p tests

.PHONY: format-check
format-check:
	@$(if $(C_FILES),clang-format --dry-run -Werror $(C_FILES) || { echo 'run: make format (yours) or make format-all' >&2; exit 1; })

# Only what this branch changed, so that a landing never carries others' layout.
CHANGED := { git diff --name-only --diff-filter=d $$(git merge-base main HEAD) 2>/dev/null || true; git ls-files -o --exclude-standard; }

.PHONY: format
format: $(VENV)/project ## lay out the changed C and Python files as the style wants them
	@$(CHANGED) | { grep '\.[ch]$$' || true; } | sort -u | xargs -r clang-format -i
	@$(CHANGED) | { grep '\.py$$' || true; } | sort -u | xargs -r $(BIN)/ruff check --quiet --fix-only || true
	@$(CHANGED) | { grep '\.py$$' || true; } | sort -u | xargs -r $(BIN)/ruff format --quiet

.PHONY: format-all
format-all: ## lay out every C file
	@clang-format -i $(C_FILES)

.PHONY: unit
unit: $(VENV)/project image test-image hcl/hcl.json ## unit tests on the host
	@$(ASAN) $(PYTEST) -q -n $(JOBS) -m 'not soak' tests/unit

# What a fresh machine calls: packages first, then everything else in a make of its own.
.PHONY: deps test demo
deps:
	@iso/workshop/deps.sh

test: deps ## install what is missing, then lint, unit tests, system tests
	@$(MAKE) --no-print-directory lint unit system

demo: deps ## install what is missing, build, boot the ISO and show it
	@$(MAKE) --no-print-directory $(ISO)
	@$(BIN)/python -m tests.system.demo

# The small guest of the tests (tests/guest/): an ELF with a PVH entry.
GUEST := build/testguest.elf
GUEST_CFLAGS := -std=gnu11 -O2 -ffreestanding -fno-pic -no-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables
$(GUEST): $(wildcard tests/guest/*.[chS])
	@mkdir -p $(@D); echo "  guest   $@"
	@$(CC) $(GUEST_CFLAGS) $(WARNINGS) -nostdlib -static -o $@ $(filter-out %.h,$^) \
		-Wl,-Ttext-segment=0x200000,-e,start32,--build-id=none,-z,noexecstack,--no-warn-rwx-segments

.PHONY: soak
soak: $(VENV)/project $(ISO) $(TEST_ISO) $(GUEST) ## long versions of the tests
	@$(ASAN) TEPUI_SOAK=1 $(PYTEST) -q -n $(JOBS) -m 'slow or soak' --timeout 7200 tests/unit
	@TEPUI_SOAK=1 $(PYTEST) -q -n $(JOBS) -m 'slow or soak' --timeout 7200 tests/system

.PHONY: system
system: $(VENV)/project $(ISO) $(TEST_ISO) $(GUEST) ## system tests in QEMU and Bochs
	@$(PYTEST) -q -n $(JOBS) -m 'not soak' tests/system

# One boot, once the vmkernel knows how to become ready.
.PHONY: smoke
smoke: $(ISO) $(VENV)/project
	@if grep -q 'ready in' $(IMAGE); then $(PYTEST) -q -m smoke tests/system; fi

.PHONY: bench
bench: $(ISO) $(TEST_ISO) $(VENV)/project $(GUEST) ## figures under -icount: build/bench.json
	@$(BIN)/python -m tests.bench.run

# make bench-compare OLD.json: the file is a goal too, which there is nothing to do for.
.PHONY: bench-compare
bench-compare: $(VENV)/project ## OLD.json: what changed since that run of make bench
	@$(BIN)/python -m tests.bench.compare $(filter %.json,$(MAKECMDGOALS))
