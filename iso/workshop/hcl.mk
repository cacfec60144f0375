# SPDX-License-Identifier: Apache-2.0
# The compatibility list of the image, and the checker that is one file.
hcl/hcl.json: $(IMAGE) $(VENV)/project hcl/image.py hcl/model.py hcl/records.py $(wildcard hcl/evidence/*.json)
	@$(BIN)/python -m tepui.hcl.cli list --list $(IMAGE) --format json >$@

CHECKER := build/tepui-hcl-check.pyz
$(CHECKER): hcl/hcl.json $(wildcard hcl/*.py)
	@echo "  checker $@"
	@rm -rf build/checker && mkdir -p build/checker/tepui/hcl
	@cp hcl/hcl.json $(filter-out hcl/image.py hcl/records.py,$(wildcard hcl/*.py)) build/checker/tepui/hcl/
	@printf 'import sys\nfrom tepui.hcl.cli import main\nsys.exit(main(["check", *sys.argv[1:]]))\n' >build/checker/__main__.py
	@$(PYTHON) -m zipapp -c -p '/usr/bin/env python3' -o $@ build/checker

.PHONY: checker
checker: $(CHECKER) ## build the stand-alone HCL checker: build/tepui-hcl-check.pyz

.PHONY: evidence
evidence: $(VENV)/project $(ISO) $(TEST_ISO) ## run the tests of rows whose evidence is stale (ALL=1: of all), write hcl/evidence
	@$(PYTEST) -q -n $(JOBS) -m 'not soak' --evidence $(if $(ALL),all,stale) tests/system || [ $$? = 5 ]
