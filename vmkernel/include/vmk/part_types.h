// SPDX-License-Identifier: Apache-2.0
/*
 * The GPT partition types that are ours, as the 16 bytes on disk (the first three fields
 * little-endian); in Python tepui.shell.datastore.partitions, in words storage/FORMAT.md.
 */
#ifndef VMK_PART_TYPES_H
#define VMK_PART_TYPES_H

/*
 * 3bceea6e-9e4c-4446-8135-8c52210429ff: the host's configuration, logs and certificates; a
 * datastore inside.
 */
#define PART_TYPE_OS_DATA                                                                     \
	{                                                                                     \
		0x6e, 0xea, 0xce, 0x3b, 0x4c, 0x9e, 0x46, 0x44, 0x81, 0x35, 0x8c, 0x52, 0x21, \
			0x04, 0x29, 0xff                                                      \
	}
/* de4c63ed-e82b-433d-a59d-d8abf17bb1c0: a datastore. */
#define PART_TYPE_DATASTORE                                                                   \
	{                                                                                     \
		0xed, 0x63, 0x4c, 0xde, 0x2b, 0xe8, 0x3d, 0x43, 0xa5, 0x9d, 0xd8, 0xab, 0xf1, \
			0x7b, 0xb1, 0xc0                                                      \
	}
#endif
