// SPDX-License-Identifier: Apache-2.0
/*
 * Spec: cpio(5), "New ASCII Format": 6 bytes of magic, 13 fields of 8 hex digits, name, data, each
 * padded to 4.
 */
#include "fs/cpio.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum { HEADER = 110, FIELDS = 13, NAME_LIMIT = 8192 };
enum field {
	INO,
	MODE,
	UID,
	GID,
	NLINK,
	MTIME,
	FILESIZE,
	DEVMAJOR,
	DEVMINOR,
	RDEVMAJOR,
	RDEVMINOR,
	NAMESIZE
};

void cpio_init(struct cpio *c, const void *data, size_t len)
{
	*c = (struct cpio){ .data = data, .len = len };
}

static bool hex8(const uint8_t *p, uint32_t *out)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint8_t c = p[i] | 0x20;

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (c - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/*
 * Takes n bytes and the padding to 4, counted from the archive's start; NULL when they are not
 * there.
 */
static const uint8_t *take(struct cpio *c, size_t n)
{
	const uint8_t *p = c->data + c->at;

	if (n > c->len - c->at)
		return NULL;
	c->at = MIN(ALIGN_UP(c->at + n, (size_t)4), c->len);
	return p;
}

int cpio_next(struct cpio *c, struct cpio_entry *e)
{
	const uint8_t *h, *name;
	uint32_t v[FIELDS];

	/*
	 * Archives may follow one another with zeroes between them, as the initramfs format allows.
	 */
	while (c->at < c->len && !c->data[c->at])
		c->at++;
	if (c->len - c->at < HEADER)
		return -EINVAL;
	h = c->data + c->at;
	if (memcmp(h, "070701", 6) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < FIELDS; i++)
		if (!hex8(h + 6 + 8 * i, &v[i]))
			return -EINVAL;
	c->at += HEADER;
	if (v[NAMESIZE] == 0 || v[NAMESIZE] > NAME_LIMIT)
		return -EINVAL;
	name = take(c, v[NAMESIZE]);
	/*
	 * Every length is checked against what is left before it is used: a module may be cut off.
	 */
	if (!name || !memchr(name, 0, v[NAMESIZE]))
		return -EINVAL;
	if (strcmp((const char *)name, "TRAILER!!!") == 0)
		return 0;
	/* Names are relative to the root: "./bin" and "/bin" mean the same. */
	while (name[0] == '/' || (name[0] == '.' && (name[1] == '/' || !name[1])))
		name++;
	*e = (struct cpio_entry){
		.name = (const char *)name,
		.mode = v[MODE],
		.uid = v[UID],
		.gid = v[GID],
		.nlink = v[NLINK],
		.ino = v[INO],
		.mtime = v[MTIME],
		.rdev_major = v[RDEVMAJOR],
		.rdev_minor = v[RDEVMINOR],
		.size = v[FILESIZE],
	};
	e->data = take(c, e->size);
	return e->data ? 1 : -EINVAL;
}
