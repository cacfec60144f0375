# SPDX-License-Identifier: Apache-2.0
# The ISO, and machines that boot it by hand.
ISO := $(B)/tepui.iso
# Each folder that adds a boot module appends NAME=FILE here and the file to ISO_FILES.
ISO_MODULES ?=
ISO_FILES ?=
QEMU := qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 2 -m 2048 -nodefaults -vga std

MANIFEST := build/manifest.spdx.json
$(MANIFEST): packages.lock iso/manifest.py build/debs/.fetched build/wheels/.fetched $(VENV)/project
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m tepui.iso.manifest \
		--debs build/debs --wheels build/wheels -o $@

.PHONY: iso
iso: $(ISO) ## build the ISO: build/tepui.iso
$(ISO): $(IMAGE) iso/image.py iso/cli.py $(ISO_FILES) $(MANIFEST) $(VENV)/project
	@echo "  iso     $@"
	@$(BIN)/tepui iso build --kernel $(IMAGE) $(ISO_MODULES:%=--module %) \
		--manifest $(MANIFEST) -o $@

# The test image in an ISO of its own; `make system` and `make bench` boot it. Nobody installs it.
TEST_ISO := $(B)/test/tepui.iso
$(TEST_ISO): $(TEST_IMAGE) iso/image.py iso/cli.py $(ISO_FILES) $(MANIFEST) $(VENV)/project
	@echo "  iso     $@"
	@$(BIN)/tepui iso build --kernel $(TEST_IMAGE) $(ISO_MODULES:%=--module %) \
		--manifest $(MANIFEST) -o $@

DIST := build/dist
.PHONY: dist
dist: $(ISO) $(CHECKER) $(MANIFEST) ## ISO, wheel, checker, manifest and SHA256SUMS in build/dist
	@rm -rf $(DIST) && mkdir -p $(DIST)
	@cp $(ISO) $(DIST)/tepui-$(VERSION).iso; cp $(CHECKER) $(DIST)/
	@cp $(MANIFEST) $(DIST)/tepui-$(VERSION).spdx.json
	@$(BIN)/pip wheel -qq --no-deps --no-build-isolation -w $(DIST) .
	@cd $(DIST) && sha256sum *.iso *.whl *.pyz *.json >SHA256SUMS && ls -l

# The machine of `make demo`; what it installed stays for `make run`.
DEMO_DISK := build/demo.img
$(DEMO_DISK): | $(ISO)
	@$(BIN)/python -m tests.system.demo --install

.PHONY: pictures
pictures: $(ISO) ## the pictures of the README, from a real run
	@$(BIN)/python -m tests.system.pictures

.PHONY: run live
run: $(DEMO_DISK) ## boot the disk that `make demo` installed, its console in this terminal
	@echo 'Log in as root, password Tepui-2026. Leave with Ctrl-A, then X. https://127.0.0.1:8443:'
	@echo '  build/venv/bin/tepui --host 127.0.0.1:8443 system version get'
	@$(QEMU) -display none -drive file=$(DEMO_DISK),format=raw,if=none,id=S1 \
		-device nvme,drive=S1,serial=S1 -netdev user,id=n,hostfwd=tcp:127.0.0.1:8443-:443 \
		-device e1000e,netdev=n -serial mon:stdio

live: $(ISO) ## boot the ISO, its menu and console in this terminal
	@echo 'Leave with Ctrl-A, then X. The monitor: Ctrl-A, then C.'
	@$(QEMU) -display none -no-reboot -cdrom $(ISO) -boot d -serial mon:stdio
