# SPDX-License-Identifier: Apache-2.0
# Zydis, the decoder alone: what emul_zydis.c asks when the fast decoder does not know an instruction.
ZYDIS_SOURCES := $(addprefix build/src/zydis/src/,Decoder.c DecoderData.c SharedData.c Register.c)
ZYDIS_INCLUDES := -isystem build/src/zydis/include -isystem build/src/zycore/include
ZYDIS_DEFINES := -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD -DZYDIS_DISABLE_ENCODER \
	-DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_AVX512 -DZYDIS_DISABLE_KNC
ZYDIS_INCLUDES += $(ZYDIS_DEFINES)
ZYDIS_CFLAGS := -Ibuild/src/zydis/src
