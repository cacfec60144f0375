# SPDX-License-Identifier: Apache-2.0
# The ISO, and machines that boot it by hand.
ISO := $(B)/tepui.iso
# Each folder that adds a boot module appends NAME=FILE here and the file to ISO_FILES.
ISO_MODULES ?=
ISO_FILES ?=
QEMU := qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 2 -m 1024 -nodefaults -vga std

.PHONY: iso
iso: $(ISO) ## build the ISO: build/tepui.iso
$(ISO): $(IMAGE) iso/image.py iso/cli.py $(ISO_FILES) $(VENV)/project
	@echo "  iso     $@"
	@$(BIN)/tepui iso build --kernel $(IMAGE) $(ISO_MODULES:%=--module %) -o $@

.PHONY: run
run: $(ISO) ## boot the ISO here, serial console in this terminal
	@echo 'Leave with Ctrl-A, then X. The monitor: Ctrl-A, then C.'
	@$(QEMU) -display none -no-reboot -cdrom $(ISO) -boot d -serial mon:stdio
