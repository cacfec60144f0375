// SPDX-License-Identifier: Apache-2.0
/* Port and memory-mapped I/O: the only way to registers, and the seam that host tests replace. */
#ifndef VMK_IO_H
#define VMK_IO_H
#include "vmk/types.h"

#ifdef VMK_HOST
uint8_t in8(uint16_t port);
uint16_t in16(uint16_t port);
uint32_t in32(uint16_t port);
void out8(uint16_t port, uint8_t v);
void out16(uint16_t port, uint16_t v);
void out32(uint16_t port, uint32_t v);
uint8_t mmio_read8(const volatile void *a);
uint16_t mmio_read16(const volatile void *a);
uint32_t mmio_read32(const volatile void *a);
uint64_t mmio_read64(const volatile void *a);
void mmio_write8(volatile void *a, uint8_t v);
void mmio_write16(volatile void *a, uint16_t v);
void mmio_write32(volatile void *a, uint32_t v);
void mmio_write64(volatile void *a, uint64_t v);
#else
#define IO_PORT_(bits, type, suffix)                                                        \
	static inline type in##bits(uint16_t port)                                          \
	{                                                                                   \
		type v;                                                                     \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
		return v;                                                                   \
	}                                                                                   \
	static inline void out##bits(uint16_t port, type v)                                 \
	{                                                                                   \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port) : "memory");  \
	}
IO_PORT_(8, uint8_t, b)
IO_PORT_(16, uint16_t, w)
IO_PORT_(32, uint32_t, l)
#undef IO_PORT_
#define IO_MMIO_(bits, type, suffix, reg)                                                    \
	static inline type mmio_read##bits(const volatile void *a)                           \
	{                                                                                    \
		type v;                                                                      \
		__asm__ volatile("mov" #suffix " %1, %0"                                     \
		                 : "=" #reg(v)                                               \
		                 : "m"(*(const volatile type *)a)                            \
		                 : "memory");                                                \
		return v;                                                                    \
	}                                                                                    \
	static inline void mmio_write##bits(volatile void *a, type v)                        \
	{                                                                                    \
		__asm__ volatile("mov" #suffix " %0, %1" ::#reg(v), "m"(*(volatile type *)a) \
		                 : "memory");                                                \
	}
IO_MMIO_(8, uint8_t, b, q)
IO_MMIO_(16, uint16_t, w, r)
IO_MMIO_(32, uint32_t, l, r)
IO_MMIO_(64, uint64_t, q, r)
#undef IO_MMIO_
#endif

/* Orders stores to DMA memory before the doorbell that follows; and loads after a status read. */
static inline void dma_wmb(void)
{
	__asm__ volatile("sfence" ::: "memory");
}
static inline void dma_rmb(void)
{
	__asm__ volatile("lfence" ::: "memory");
}
#endif
