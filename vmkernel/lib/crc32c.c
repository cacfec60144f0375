// SPDX-License-Identifier: Apache-2.0
/*
 * CRC-32C by the SSE4.2 instruction where CPUID has it (it uses no vector register), else by
 * nibbles.
 */
#include "vmk/crc.h"

#include "vmk/string.h"

static bool has_instruction(void)
{
	static int8_t known;
	uint32_t eax = 1, ebx, ecx = 0, edx;

	if (!known) {
		__asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
		known = ecx & BIT(20) ? 1 : -1;
	}
	return known > 0;
}

static uint32_t by_nibbles(uint32_t crc, const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (n--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		__asm__("crc32q %1, %0" : "+r"(c) : "rm"(v));
	}
	for (; n; n--, p++)
		__asm__("crc32b %1, %0" : "+r"(c) : "rm"(*p));
	return (uint32_t)c;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	crc = ~crc;
	return ~(has_instruction() ? by_instruction(crc, data, n) : by_nibbles(crc, data, n));
}
