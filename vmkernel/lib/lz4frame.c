// SPDX-License-Identifier: Apache-2.0
/*
 * LZ4 frames of independent blocks with their size in the header, as iso/ writes them: unpacked by
 * LZ4's own safe decoder, without the checksums. The frame may hold any bytes. Pure; any context.
 * Spec: LZ4 Frame Format Description.
 */
#include "vmk/lz4frame.h"
#include "lz4.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum {
	FLAGS = 4,
	SIZE = 6,
	HEADER = 15, /* magic 4, flags 2, content size 8, header checksum 1 */
	VERSION = 1 << 6,
	VERSION_MASK = 3 << 6,
	INDEPENDENT = 1 << 5,
	BLOCK_CHECKSUM = 1 << 4,
	CONTENT_SIZE = 1 << 3,
	RESERVED = 1 << 1,
	DICTIONARY = 1 << 0,
};
#define MAGIC  0x184D2204u
#define STORED (1u << 31) /* of a block's size: its data is not packed */

static uint32_t read32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool lz4frame_here(const void *frame, size_t len)
{
	return len >= HEADER && read32(frame) == MAGIC;
}

uint64_t lz4frame_size(const void *frame, size_t len)
{
	const uint8_t *p = frame;
	uint8_t wanted = VERSION | INDEPENDENT | CONTENT_SIZE;
	uint64_t size;

	if (!lz4frame_here(frame, len) || (p[FLAGS] & (VERSION_MASK | INDEPENDENT | CONTENT_SIZE |
	                                               RESERVED | DICTIONARY)) != wanted)
		return 0;
	memcpy(&size, p + SIZE, sizeof(size));
	return size;
}

int lz4frame_unpack(const void *frame, size_t len, void *out, size_t size)
{
	const uint8_t *p = frame, *end = p + len;
	uint8_t *to = out, *to_end = to + size;
	unsigned checksum;

	if (lz4frame_size(frame, len) != size)
		return -EINVAL;
	checksum = p[FLAGS] & BLOCK_CHECKSUM ? 4 : 0;
	for (p += HEADER; end - p >= 4;) {
		uint32_t block = read32(p), n = block & ~STORED;
		int room = (int)MIN(to_end - to, INT32_MAX), got = (int)n;

		/* The end mark. A frame that ends without one was cut short. */
		p += 4;
		if (!block)
			return to == to_end ? 0 : -EINVAL;
		/*
		 * The decoder counts in int, and block data may reach up to the end of the frame.
		 */
		if (n > INT32_MAX || (size_t)n + checksum > (size_t)(end - p))
			return -EINVAL;
		if (!(block & STORED))
			got = LZ4_decompress_safe((const char *)p, (char *)to, (int)n, room);
		else if (got <= room)
			memcpy(to, p, n);
		if (got < 0 || got > room)
			return -EINVAL;
		to += got;
		p += n + checksum;
	}
	return -EINVAL;
}
