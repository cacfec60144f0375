# SPDX-License-Identifier: Apache-2.0
# The Python environment: build/venv with the pinned wheels and the project itself.

# The import packages as they will be installed, before anything is: tepui.X is the folder X.
build/py:
	@mkdir -p build/py/tepui; cd build/py/tepui; ln -sfn ../../../hcl ../../../shell ../../../iso .

$(VENV)/pins: packages.lock | build/py
	@echo "  venv    $(VENV)"
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear $(VENV)
	@$(WORKSHOP).lock requirements >build/requirements.txt
	@$(BIN)/pip install -qq --no-deps --only-binary :all: --require-hashes -r build/requirements.txt \
		|| { echo 'A pinned wheel could not be fetched. If its version has vanished: make relock' >&2; exit 1; }
	@touch $@

# The structures of the control socket as Python's records; see shell/abigen.py.
build/gen/records.done: build/gen/abi.txt shell/abi.py shell/abigen.py $(VENV)/pins
	@PYTHONPATH=build/py $(BIN)/python -m tepui.shell.abigen records shell && touch $@

$(VENV)/project: $(VENV)/pins setup.cfg pyproject.toml VERSION build/gen/abi.txt build/gen/records.done
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/project ## the Python environment: build/venv/bin/tepui

.PHONY: relock
relock: | build/py ## renew packages.lock: the newest versions and their digests
	@$(PYTHON) -m venv build/relock
	@rm -f build/apt/updated
	@PYTHONPATH=build/py build/relock/bin/python -m tepui.iso.workshop.relock
