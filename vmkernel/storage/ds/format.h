// SPDX-License-Identifier: Apache-2.0
/*
 * The datastore on disk, version 1 (storage/FORMAT.md tells it in words). Little-endian. The volume
 * is counted in pages of 4 KiB (metadata) and blocks of 1 MiB (allocation); page 0 is the volume's
 * first byte. Every metadata page begins with struct ds_head; a page of zero bytes is valid where
 * FORMAT.md says so and means "empty".
 */
#ifndef DS_FORMAT_H
#define DS_FORMAT_H
#include "vmk/types.h"

#define DS_SIGNATURE "TEPUI-DS" /* 8 bytes, no terminator */

enum {
	DS_VERSION = 1,
	DS_PAGE = 4096,
	DS_PAGE_SHIFT = 12,
	DS_BLOCK = 1 << 20,
	DS_BLOCK_SHIFT = 20,
	DS_BLOCK_PAGES = 256,
	DS_PIECES = 256, /* 4 KiB pieces of a block: the unit of written state */
	DS_NAME_MAX = 255,
	DS_JOURNAL_BLOCKS_MIN = 4,
	DS_JOURNAL_BLOCKS_MAX = 64,
	DS_BLOCKS_MIN = 16,
};
#define DS_BLOCKS_MAX (64ull << 20) /* 64 TiB */
#define DS_MAGIC      0x31534454u   /* "TDS1" */

enum ds_type {
	DS_SUPER = 1,
	DS_STATE,
	DS_REFS,
	DS_SUM1,
	DS_SUM2,
	DS_META, /* first page of a metadata block */
	DS_INODE,
	DS_MAP,    /* leaf of a file's block map */
	DS_INDEX,  /* inner page of a file's block map or a directory's bucket table */
	DS_BUCKET, /* directory entries */
	DS_JOURNAL,
	DS_TAIL,
};

struct ds_head {
	uint32_t magic;
	uint32_t crc;  /* CRC-32C of the page with this field 0 */
	uint64_t page; /* its own number */
	uint64_t txn;  /* transaction that wrote it */
	uint32_t type; /* enum ds_type */
	uint32_t tag;  /* first 4 bytes of the UUID: pages of an older volume don't count */
};
ASSERT_SIZE(struct ds_head, 32);

/* Pages 0 and 8. Written by mkfs and when the label changes; either copy serves. */
struct ds_super {
	struct ds_head head;
	char signature[8];
	uint32_t version;
	uint32_t flags;
	uint8_t uuid[16];
	char label[64];
	uint64_t blocks;       /* of the volume */
	uint64_t journal_page; /* first of the journal */
	uint64_t journal_pages;
	uint64_t refs_page; /* reference counts */
	uint64_t refs_pages;
	uint64_t sum1_page; /* used counts of refs pages */
	uint64_t sum1_pages;
	uint64_t sum2_page; /* used counts of sum1 pages: one page */
	uint64_t state_page;
	uint64_t first_block;                     /* first that files may use */
	uint64_t heartbeat_page, heartbeat_pages; /* reserved for several hosts */
};
enum {
	DS_SUPER_A = 0,
	DS_SUPER_B = 8,
	DS_STATE_PAGE = 9,
	DS_HEARTBEAT_PAGE = 16,
	DS_HEARTBEAT_PAGES = 64
};

/* What changes as a whole; journalled. */
struct ds_state {
	struct ds_head head;
	uint64_t root;       /* inode page of the root directory */
	uint64_t meta_free;  /* first metadata block (its first page) with free pages, 0: none */
	uint64_t orphans;    /* inode page of the first orphan, 0: none */
	uint64_t used;       /* blocks in use, the fixed area included */
	uint64_t generation; /* of the next inode */
	uint64_t inodes;     /* in use */
};

/* Reference counts of consecutive blocks; 0 is free. A zero page: all free. */
enum {
	DS_REFS_PER = (DS_PAGE - 32) / 2,
	DS_SUM1_PER = (DS_PAGE - 32) / 2,
	DS_SUM2_PER = (DS_PAGE - 32) / 4
};
struct ds_refs {
	struct ds_head head;
	uint16_t ref[DS_REFS_PER];
};
/* used[i]: blocks with ref > 0 in refs page i of this page's range. A zero page: all free. */
struct ds_sum1 {
	struct ds_head head;
	uint16_t used[DS_SUM1_PER];
};
struct ds_sum2 {
	struct ds_head head;
	uint32_t used[DS_SUM2_PER];
};

/* A block that holds metadata pages: its first page says which of the others are taken. */
struct ds_meta {
	struct ds_head head;
	uint64_t next;   /* in the list of metadata blocks with free pages, 0: end */
	uint32_t used;   /* pages taken, this one included */
	uint32_t listed; /* 1: on that list */
	uint8_t bitmap[DS_BLOCK_PAGES / 8];
};

enum ds_inode_flags { DS_INLINE = 1, DS_TRUNCATING = 2 };
enum ds_mode { /* the only types of files, as in st_mode */
	       DS_MODE_TYPE = 0170000,
	       DS_MODE_DIR = 0040000,
	       DS_MODE_FILE = 0100000,
	       DS_MODE_LINK = 0120000,
};
/*
 * Bounds of an inode's tree and of a directory's table; more is damage. Three levels reach 131
 * million leaves, a file of 64 TiB has 671,089.
 */
enum { DS_HEIGHT_MAX = 3, DS_BUCKETS_MAX = 1 << 20, DS_CHAIN_MAX = 32 /* pages of a bucket */ };
enum { DS_INLINE_MAX = DS_PAGE - 192 };

struct ds_inode {
	struct ds_head head;
	uint64_t generation;
	uint32_t mode; /* as stat's st_mode */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t size;         /* bytes */
	uint64_t mtime, ctime; /* ns since 1970 */
	uint64_t root;         /* top page of the block map or the bucket table, 0: none */
	uint32_t height;  /* index levels above the leaves or buckets; 0: root is the only one */
	uint32_t flags;   /* enum ds_inode_flags */
	uint64_t blocks;  /* of 1 MiB that the map holds */
	uint64_t orphan;  /* next orphan */
	uint64_t entries; /* directory: names */
	uint64_t buckets; /* directory: buckets in use (linear hashing) */
	uint64_t parent;  /* directory: the one above */
	uint8_t reserved[56];
	uint8_t data[DS_INLINE_MAX]; /* DS_INLINE: the contents; symlink: the target */
};
ASSERT_OFFSET(struct ds_inode, data, 192);
ASSERT_SIZE(struct ds_inode, DS_PAGE);

/* Where one block of a file lies and which of its pieces were written; the others read as zeros. */
struct ds_map_entry {
	uint64_t block; /* 0: none */
	uint8_t written[DS_PIECES / 8];
};
enum { DS_MAP_PER = 100, DS_INDEX_PER = 508 };
struct ds_map {
	struct ds_head head;
	struct ds_map_entry entry[DS_MAP_PER];
	uint8_t reserved[DS_PAGE - 32 - DS_MAP_PER * 40];
};
ASSERT_SIZE(struct ds_map, DS_PAGE);
struct ds_index {
	struct ds_head head;
	uint64_t child[DS_INDEX_PER]; /* 0: a hole */
};
ASSERT_SIZE(struct ds_index, DS_PAGE);

/* Names whose hash falls into one bucket; packed, in no order. */
struct ds_name {
	uint64_t inode; /* page */
	uint64_t hash;  /* ds_hash(name), 64 bits */
	uint8_t type;   /* DT_* */
	uint8_t len;
	char name[]; /* len bytes, padded to 8 with zeros */
};
struct ds_bucket {
	struct ds_head head;
	uint64_t next; /* overflow page, 0: none */
	uint32_t used; /* bytes of data */
	uint32_t reserved;
	uint8_t data[DS_PAGE - 48];
};
ASSERT_SIZE(struct ds_bucket, DS_PAGE);

/*
 * Journal. Its first two pages are tails, written in turn: the valid one with the higher counter
 * holds. Records follow in a ring over the rest: a header page, then `count` page images. A record
 * counts when its header is whole, its sequence is the expected one and images_crc fits.
 */
struct ds_tail {
	struct ds_head head;
	uint64_t counter;
	uint64_t position; /* ring page of the oldest record that may not be in place yet */
	uint64_t sequence; /* that it must have */
};
enum { DS_RECORD_MAX = 480 };
struct ds_record {
	struct ds_head head; /* head.txn is the sequence */
	uint32_t count;
	uint32_t images_crc;          /* CRC-32C over all images */
	uint64_t page[DS_RECORD_MAX]; /* where each image belongs */
};
STATIC_ASSERT(sizeof(struct ds_record) <= DS_PAGE);
#endif
