# SPDX-License-Identifier: Apache-2.0
# The userworld image: build/userworld.img, packed, from the pinned Debian packages and wheels.
USERWORLD := build/userworld.img
USERWORLD_FILES := $(shell find hcl shell iso -name '*.py' ! -path '*/workshop/*') \
	$(shell find iso/root -type f)

build/debs/.fetched: packages.lock iso/workshop/debs.py | build/py
	@echo "  fetch   Debian packages of the image"
	@$(WORKSHOP).debs build/debs && touch $@

build/wheels/.fetched: packages.lock $(VENV)/pins
	@echo "  fetch   wheels of the image"
	@$(WORKSHOP).lock requirements --product >build/product.txt
	@rm -rf build/wheels && $(BIN)/pip download -qq --no-deps --only-binary :all: --require-hashes \
		-d build/wheels -r build/product.txt 2>/dev/null && touch $@

build/gen/_abi.py: build/gen/abi.txt shell/abi.py shell/abigen.py $(VENV)/project
	@$(BIN)/python -m tepui.shell.abigen abi build/gen

# GRUB for an installed disk, with every module that its menu needs inside; iso/loader.py.
GRUB := build/grub
GRUB_DIR := /usr/lib/grub
GRUB_MODULES := normal configfile multiboot2 part_gpt fat serial terminal all_video echo test regexp \
	loadenv reboot halt
$(GRUB)/core.img: iso/workshop/userworld.mk
	@echo "  grub    $(GRUB)"
	@mkdir -p $(GRUB); cp $(GRUB_DIR)/i386-pc/boot.img $(GRUB)/boot.img
	@grub-mkimage -O x86_64-efi -p '(,gpt1)/grub' -o $(GRUB)/BOOTX64.EFI $(GRUB_MODULES)
	@grub-mkimage -O i386-pc -p '(,gpt1)/grub' -o $@ $(GRUB_MODULES) biosdisk

$(USERWORLD): $(GRUB)/core.img hcl/hcl.json build/debs/.fetched build/wheels/.fetched build/gen/_abi.py $(USERWORLD_FILES)
	@echo "  image   $@"
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m tepui.iso.userworld \
		--debs build/debs --wheels build/wheels --abi build/gen/_abi.py --grub $(GRUB) -o $@

.PHONY: userworld
userworld: $(USERWORLD) ## build the userworld image: build/userworld.img

# GRUB loads it as the module "userworld".
ISO_MODULES += userworld=$(USERWORLD)
ISO_FILES += $(USERWORLD)
