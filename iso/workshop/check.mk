# SPDX-License-Identifier: Apache-2.0
# Checks: lint, unit tests, system tests.

# Sanitized C units are loaded into Python, so the runtime has to be there first.
ASAN := LD_PRELOAD=$$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libubsan.so) \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1
PYTEST := $(BIN)/python -m pytest

C_FILES := $(shell find vmkernel drivers tests -name '*.[ch]' 2>/dev/null)

.PHONY: python-lint
python-lint: $(VENV)/project
	@$(BIN)/ruff check --quiet hcl shell iso tests
	@$(BIN)/mypy --no-error-summary -p tepui.hcl -p tepui.shell -p tepui.iso
	@$(BIN)/mypy --no-error-summary -p tests

.PHONY: format-check
format-check:
	@$(if $(C_FILES),clang-format --dry-run -Werror $(C_FILES) || { echo 'run: make format' >&2; exit 1; })

.PHONY: format
format: $(VENV)/project ## lay out C and Python files as the style wants them
	@$(if $(C_FILES),clang-format -i $(C_FILES))
	@$(BIN)/ruff check --quiet --fix hcl shell iso tests || true
	@$(BIN)/ruff format --quiet hcl shell iso tests

.PHONY: unit
unit: $(VENV)/project image ## unit tests on the host
	@$(ASAN) $(PYTEST) -q -n $(JOBS) tests/unit

.PHONY: quick
quick: $(VENV)/project python-lint image ## the check before every landing: build, lint, fast tests
	@$(ASAN) $(PYTEST) -q -n $(JOBS) -m 'not slow and not soak' tests/unit
