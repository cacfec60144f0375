# SPDX-License-Identifier: Apache-2.0
# The vmkernel image. Every C and assembly file below vmkernel/ and drivers/ is compiled; linker
# sections, not lists, decide what the kernel does with it. What lies in vmkernel/test/ is linked
# into the test image only.
CC := gcc
NM := nm

B := $(if $(DEBUG),build/debug,build)
OBJ := $(B)/obj
IMAGE := $(B)/vmkernel.elf
TEST_IMAGE := $(B)/test/vmkernel.elf
LDSCRIPT := vmkernel/vmkernel.ld

WARNINGS := -Wall -Wextra -Werror -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-sign-compare -Wframe-larger-than=2048
CODEGEN := -ffreestanding -fno-pic -no-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-strict-aliasing -fno-common -fno-delete-null-pointer-checks -fno-strict-overflow \
	-fstack-protector-strong -mstack-protector-guard=global -mindirect-branch=thunk-inline \
	-mindirect-branch-register -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-omit-frame-pointer -fmacro-prefix-map=$(CURDIR)/=
DEBUGGING := $(if $(DEBUG),-DVMK_DEBUG -fsanitize=undefined -fsanitize-undefined-trap-on-error)
INCLUDES := -Ivmkernel/include -Ivmkernel -Idrivers -Ibuild/gen
DEFINES := -DVMK_VERSION='"$(VERSION)"'
CFLAGS = -std=gnu11 -O2 -g $(CODEGEN) $(DEBUGGING) $(INCLUDES) $(DEFINES)
LDFLAGS := -nostdlib -static -no-pie -Wl,-T,$(LDSCRIPT) -Wl,--build-id=sha1 -Wl,--gc-sections \
	-Wl,-z,max-page-size=0x1000 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments

# WITHOUT='block/nvme%' links an image of its own that lacks a driver: build/without/vmkernel.elf.
WITHOUT :=
LINK := $(if $(WITHOUT),$(B)/without,$(OBJ))
$(if $(WITHOUT),$(eval IMAGE := $(LINK)/vmkernel.elf))

C_SOURCES := $(shell find vmkernel drivers -name '*.c' ! -name asm_offsets.c ! -name vdso_user.c 2>/dev/null | sort)
S_SOURCES := $(shell find vmkernel drivers -name '*.S' 2>/dev/null | sort)
ALL_OBJECTS := $(filter-out $(WITHOUT:%=$(OBJ)/drivers/%),$(C_SOURCES:%.c=$(OBJ)/%.o)) $(S_SOURCES:%.S=$(OBJ)/%.S.o)

OBJECTS := $(filter-out $(OBJ)/vmkernel/test/%,$(ALL_OBJECTS))

# Parts from elsewhere, compiled into the image: each .mk sets X_SOURCES (files below build/src/)
# and X_CFLAGS (their own warnings and definitions), X being LZ4, LWIP and ZYDIS.
-include vmkernel/lib/lz4.mk vmkernel/ip/lwip.mk vmkernel/vmm/zydis.mk
LZ4_OBJECTS := $(LZ4_SOURCES:build/src/%.c=$(OBJ)/src/%.o)
LWIP_OBJECTS := $(LWIP_SOURCES:build/src/%.c=$(OBJ)/src/%.o)
ZYDIS_OBJECTS := $(ZYDIS_SOURCES:build/src/%.c=$(OBJ)/src/%.o)
FOREIGN_OBJECTS := $(LZ4_OBJECTS) $(LWIP_OBJECTS) $(ZYDIS_OBJECTS)
# Our own files may include the foreign headers.
CFLAGS += $(LZ4_INCLUDES) $(LWIP_INCLUDES) $(ZYDIS_INCLUDES)

GENERATED := build/gen/asm_offsets.h build/gen/abi_digest.h build/gen/font.h build/gen/syscall_nr.h

.PHONY: image test-image sources
sources: build/src/fetched ## fetch LZ4, lwIP and Zydis into build/src
image: $(IMAGE) ## build the vmkernel: build/vmkernel.elf
test-image: $(TEST_IMAGE) ## the vmkernel with its own tests and benchmarks: build/test/vmkernel.elf

# link_image(folder of the passes, objects). Three links: sizes are right after the second, addresses
# inside the table after the third.
define link_image
@echo "  link    $@"
@mkdir -p $1
@link() { $(CC) $(LDFLAGS) -Wl,-Map=$1/vmkernel.map -o $$1 $2 $(FOREIGN_OBJECTS) $1/ksyms.o; }; \
table() { $(WORKSHOP).ksyms $$1 $1/ksyms.S; $(CC) -c -o $1/ksyms.o $1/ksyms.S; }; \
table -; link $1/pass; \
for pass in 1 2; do $(NM) $1/pass >$1/pass.nm; table $1/pass.nm; link $1/pass; done; \
$(NM) $1/pass >$1/pass.nm; $(WORKSHOP).ksyms --check $1/pass.nm $1/ksyms.S; \
mv $1/pass $@
endef

$(IMAGE): $(OBJECTS) $(FOREIGN_OBJECTS) $(LDSCRIPT) $(LINK)/objects.list | build/py
	$(call link_image,$(LINK),$(OBJECTS))

$(TEST_IMAGE): $(ALL_OBJECTS) $(FOREIGN_OBJECTS) $(LDSCRIPT) $(LINK)/objects.list | build/py
	$(call link_image,$(B)/test/link,$(ALL_OBJECTS))

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D); echo "  cc      $<"
	@$(CC) $(CFLAGS) $(WARNINGS) -MD -MP -c -o $@ $<

$(OBJ)/%.S.o: %.S $(OBJ)/flags
	@mkdir -p $(@D); echo "  as      $<"
	@$(CC) $(CFLAGS) -D__ASSEMBLER__=1 -MD -MP -c -o $@ $<

$(LZ4_OBJECTS): FOREIGN_CFLAGS = $(LZ4_CFLAGS) $(LZ4_INCLUDES)
$(LWIP_OBJECTS): FOREIGN_CFLAGS = $(LWIP_CFLAGS) $(LWIP_INCLUDES)
$(ZYDIS_OBJECTS): FOREIGN_CFLAGS = $(ZYDIS_CFLAGS) $(ZYDIS_INCLUDES)
$(FOREIGN_OBJECTS): $(OBJ)/src/%.o: build/src/%.c $(OBJ)/flags
	@mkdir -p $(@D); echo "  cc      $<"
	@$(CC) $(CFLAGS) $(FOREIGN_CFLAGS) -MD -MP -c -o $@ $<

$(ALL_OBJECTS) $(FOREIGN_OBJECTS): | $(GENERATED) build/src/fetched

build/src/fetched: packages.lock | build/py
	@$(WORKSHOP).fetch
	@touch $@
build/src/%: | build/src/fetched ;
-include $(ALL_OBJECTS:.o=.d) $(FOREIGN_OBJECTS:.o=.d)

# Rewritten only when they change: another flag or another set of files rebuilds, a touch does not.
define KEEP_IF_SAME
@mkdir -p $(@D); echo '$(subst ','\'',$1)' >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
endef
.PHONY: FORCE
$(OBJ)/flags: FORCE
	$(call KEEP_IF_SAME,$(CFLAGS) $(WARNINGS) $(LZ4_CFLAGS) $(LWIP_CFLAGS) $(ZYDIS_CFLAGS))
$(LINK)/objects.list: FORCE
	$(call KEEP_IF_SAME,$(ALL_OBJECTS) $(FOREIGN_OBJECTS))

# What ring 3 reads clocks with: a shared object that vdso.c carries.
build/gen/vdso.so: vmkernel/linux/vdso_user.c vmkernel/linux/vdso.ld $(wildcard vmkernel/include/vmk/*.h vmkernel/proc/timespec.h vmkernel/x86/*.h)
	@mkdir -p $(@D); echo "  vdso    $@"
	@$(CC) -std=gnu11 -O2 -ffreestanding -fPIC -fno-stack-protector -fcf-protection=none \
		-fno-asynchronous-unwind-tables -fno-jump-tables -fomit-frame-pointer -mgeneral-regs-only $(WARNINGS) $(INCLUDES) \
		-shared -nostdlib -Wl,-T,vmkernel/linux/vdso.ld -Wl,-soname=linux-vdso.so.1 -Wl,--hash-style=both \
		-Wl,--build-id=none -Wl,-z,max-page-size=0x1000 -Wl,-z,noexecstack -Wl,--no-undefined -Wl,-s -o $@ $<
$(OBJ)/vmkernel/linux/vdso.o: build/gen/vdso.so

# Offsets of structure members for assembly: marker lines in the compiler's output, never typed.
OFFSETS := $(wildcard vmkernel/x86/asm_offsets.c)
build/gen/asm_offsets.h: $(OFFSETS) $(wildcard vmkernel/include/*/*.h vmkernel/x86/*.h) $(if $(OFFSETS),build/gen/abi_digest.h) | build/py
	@mkdir -p $(@D); : >build/gen/asm_offsets.s
	@$(if $(OFFSETS),$(CC) $(CFLAGS) -S -o build/gen/asm_offsets.s $(OFFSETS))
	@$(WORKSHOP).headers offsets build/gen/asm_offsets.s $@

# The screen's font: GNU Unifont, as Debian's GRUB brings it along.
UNIFONT := /usr/share/grub/unicode.pf2
build/gen/font.h: $(UNIFONT) iso/workshop/font.py | build/py
	@mkdir -p $(@D)
	@$(WORKSHOP).font $< $@

# Linux's numbers and names of system calls, from the headers that Debian's C library needs.
UNISTD := $(firstword $(wildcard /usr/include/x86_64-linux-gnu/asm/unistd_64.h /usr/include/asm/unistd_64.h))
build/gen/syscall_nr.h: $(UNISTD) iso/workshop/headers.py | build/py
	@$(WORKSHOP).headers syscalls $< $@

# The text of the ABI headers, as cffi reads it; the kernel carries its digest, the shell the text.
ABI := $(wildcard vmkernel/include/abi/all.h)
build/gen/abi.txt: $(wildcard vmkernel/include/abi/*.h)
	@mkdir -p $(@D); : >$@
	@$(if $(ABI),$(CC) -E -P -DABI_PARSE -Ivmkernel/include -o $@ $(ABI))
	@cmp -s $@ shell/abi.txt || cp $@ shell/abi.txt
build/gen/abi_digest.h: build/gen/abi.txt | build/py
	@$(WORKSHOP).headers digest $< $@
