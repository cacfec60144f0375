# SPDX-License-Identifier: Apache-2.0
# LZ4's decoder, which unpacks the userworld image; the encoder falls out at the link.
LZ4_SOURCES := build/src/lz4/lib/lz4.c
LZ4_INCLUDES := -isystem build/src/lz4/lib
LZ4_CFLAGS := -ffunction-sections -DLZ4_FREESTANDING=1 -DLZ4_memcpy=__builtin_memcpy \
	-DLZ4_memmove=__builtin_memmove -DLZ4_memset=__builtin_memset
