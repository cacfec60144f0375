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

DIST := build/dist
.PHONY: dist
dist: $(ISO) $(CHECKER) $(MANIFEST) ## ISO, wheel, checker, manifest and SHA256SUMS in build/dist
	@rm -rf $(DIST) && mkdir -p $(DIST)
	@cp $(ISO) $(DIST)/tepui-$(VERSION).iso; cp $(CHECKER) $(DIST)/
	@cp $(MANIFEST) $(DIST)/tepui-$(VERSION).spdx.json
	@$(BIN)/pip wheel -qq --no-deps --no-build-isolation -w $(DIST) .
	@cd $(DIST) && sha256sum *.iso *.whl *.pyz *.json >SHA256SUMS && ls -l

.PHONY: run
run: $(ISO) ## boot the ISO here, its menu and console in this terminal
	@echo 'Leave with Ctrl-A, then X. The monitor: Ctrl-A, then C.'
	@$(QEMU) -display none -no-reboot -cdrom $(ISO) -boot d -serial mon:stdio
