// SPDX-License-Identifier: Apache-2.0
/* Registers on the host: a Python model answers. */
#include "seam.h"
#include "vmk/io.h"
#include "vmk/log.h"

SEAM uint64_t (*seam_mmio_read)(uint64_t address, unsigned width);
SEAM void (*seam_mmio_write)(uint64_t address, unsigned width, uint64_t value);
SEAM uint64_t (*seam_port_read)(uint16_t port, unsigned width);
SEAM void (*seam_port_write)(uint16_t port, unsigned width, uint64_t value);

#define PORT_(bits)                                                    \
	SEAM uint##bits##_t in##bits(uint16_t port)                    \
	{                                                              \
		ASSERT(seam_port_read);                                \
		return (uint##bits##_t)seam_port_read(port, bits / 8); \
	}                                                              \
	SEAM void out##bits(uint16_t port, uint##bits##_t v)           \
	{                                                              \
		ASSERT(seam_port_write);                               \
		seam_port_write(port, bits / 8, v);                    \
	}
PORT_(8)
PORT_(16)
PORT_(32)

#define MMIO_(bits)                                                            \
	SEAM uint##bits##_t mmio_read##bits(const volatile void *a)            \
	{                                                                      \
		ASSERT(seam_mmio_read);                                        \
		return (uint##bits##_t)seam_mmio_read((uintptr_t)a, bits / 8); \
	}                                                                      \
	SEAM void mmio_write##bits(volatile void *a, uint##bits##_t v)         \
	{                                                                      \
		ASSERT(seam_mmio_write);                                       \
		seam_mmio_write((uintptr_t)a, bits / 8, v);                    \
	}
MMIO_(8)
MMIO_(16)
MMIO_(32)
MMIO_(64)
