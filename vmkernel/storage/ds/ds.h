// SPDX-License-Identifier: Apache-2.0
/*
 * The datastore in memory: what its files share.
 *
 * Locks: `lock` (a mutex) is held for everything that reads or changes metadata. Data I/O of a file
 * runs under its own gate (inode.c): readers and writers of data count themselves in, truncation
 * drains them. The mapping that data I/O needs is cached per file (ds_file.chunk) and read without
 * a lock.
 *
 * Life of a change: ds_page_get -> ds_page_dirty -> change, inside ds_begin/ds_end, then at a
 * commit all pages of the running transaction go to the journal as one record. Pages are written in
 * place only by a checkpoint, which runs when the journal is full.
 */
#ifndef DS_H
#define DS_H
#include "format.h"
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/list.h"
#include "vmk/lock.h"
#include "vmk/tree.h"
#include "vmk/wait.h"

/*
 * DS_RESERVE: pages that one step (ds_begin to the next ds_begin or ds_commit) may dirty at most.
 */
enum { DS_HASH = 1024, DS_CACHE_PAGES = 8192, DS_RESERVE = 150 };

struct ds_page {
	struct list hash, lru, dirty;
	uint64_t page;
	uint32_t pins;
	bool in_txn; /* changed by the running transaction */
	bool behind; /* committed to the journal, not yet written to its place */
	void *data;
};

/*
 * A block that must not be allocated although its count is 0: freed by a transaction that is not
 * durable yet, or reserved for data that is being written and not yet published.
 */
struct ds_busy {
	struct tree_node node; /* by block */
	struct list link;      /* freed: in order of sequence */
	uint64_t block;
	uint64_t sequence; /* of the freeing transaction, or DS_RESERVED */
};
#define DS_RESERVED UINT64_MAX

struct ds {
	struct blk_dev *dev;
	struct mutex lock;
	uint8_t uuid[16];
	char label[64];
	uint64_t blocks, first_block;
	struct ds_super super;
	bool read_only;
	char damage[160]; /* why it is read-only; "" */

	/* cache.c */
	struct list hash[DS_HASH];
	struct list lru;       /* clean, unpinned: may go */
	struct list txn_pages; /* of the running transaction */
	struct list behind_pages;
	unsigned cached, txn_count, behind_count;

	/* journal.c */
	uint64_t sequence;                                      /* of the running transaction */
	uint64_t durable;                                       /* last one that is durable */
	uint64_t head, tail, tail_sequence, tail_counter, ring; /* ring pages */
	bool new_data;   /* the running transaction publishes data that was just written */
	uint8_t *record; /* (DS_RECORD_MAX + 1) pages */

	/* alloc.c */
	struct tree busy;
	struct list freed;
	uint64_t hint;

	struct list files; /* open ds_file, inode.c */
};

/* cache.c: pages by number, checked when they are read. */
int __must_check ds_page_get(struct ds *ds, uint64_t page, enum ds_type type, struct ds_page **out);
/* A page whose old contents do not matter: zeroed, typed, dirty. */
int __must_check ds_page_new(struct ds *ds, uint64_t page, enum ds_type type, struct ds_page **out);
void ds_page_put(struct ds *ds, struct ds_page *p);
void ds_page_dirty(struct ds *ds, struct ds_page *p); /* before changing it */
/* Freed: its contents no longer matter. -EIO: somebody uses it, so it was not free to go. */
int __must_check ds_page_forget(struct ds *ds, uint64_t page);
void ds_cache_drop(struct ds *ds);
void ds_seal(struct ds *ds, void *data, uint64_t page, enum ds_type type, uint64_t txn);
bool ds_sealed(const struct ds *ds, const void *data, uint64_t page, enum ds_type type);
/* Marks the volume damaged: read-only from now on; returns -EIO. */
int ds_damaged(struct ds *ds, const char *fmt, ...) __printf(2, 3);

/* validate.c: what is wrong with a page that a disk holds, for the log; NULL: nothing. */
const char *ds_validate(const struct ds *ds, const void *data, uint64_t page, enum ds_type type);

/* journal.c */
int __must_check ds_journal_replay(struct ds *ds);
int __must_check ds_begin(struct ds *ds);  /* makes room for DS_RESERVE pages; -EROFS, -EIO */
int __must_check ds_commit(struct ds *ds); /* everything changed so far is durable afterwards */
int __must_check ds_checkpoint(struct ds *ds);

/*
 * alloc.c: blocks. A reservation is in memory only; ds_block_take, in the step that maps it,
 * counts.
 */
int __must_check ds_block_reserve(struct ds *ds, uint64_t *block); /* -ENOSPC */
void ds_block_unreserve(struct ds *ds, uint64_t block);
int __must_check ds_block_take(struct ds *ds, uint64_t block);
int __must_check ds_block_ref(struct ds *ds, uint64_t block, int change); /* frees at 0 */
void ds_freed_release(struct ds *ds); /* after a commit: durable ones may be used again */
void ds_busy_init(struct ds *ds);
void ds_busy_drop(struct ds *ds); /* at unmount */

/* meta.c: single metadata pages */
int __must_check ds_meta_alloc(struct ds *ds, uint64_t *page);
int __must_check ds_meta_free(struct ds *ds, uint64_t page);
/*
 * ds_begin, and enough free metadata pages for one step, so that a step never meets a full volume
 * in its middle. -ENOSPC.
 */
int __must_check ds_begin_room(struct ds *ds);

/* map.c: a file's block map. index: block of the file. */
int __must_check ds_map_get(struct ds *ds, const struct ds_inode *ino, uint64_t index,
                            struct ds_map_entry *out); /* a hole: block 0 */
/* The leaf for index, made when it is not there; slot in it. ino_page is dirty. */
int __must_check ds_map_leaf(struct ds *ds, struct ds_page *ino_page, uint64_t index,
                             struct ds_page **leaf, unsigned *slot);
/*
 * Frees the blocks of up to `budget` leaves at or behind index `first`, highest first. *more: the
 * budget ran out, call again in the next transaction.
 */
int __must_check ds_map_cut(struct ds *ds, struct ds_page *ino_page, uint64_t first,
                            unsigned budget, bool *more);
/* First mapped block at or behind index; false: none. */
int __must_check ds_map_next(struct ds *ds, const struct ds_inode *ino, uint64_t index,
                             uint64_t *found, bool *any);
/* Slot i of an index tree of buckets or leaves, page number or 0; set makes inner pages. */
int __must_check ds_index_get(struct ds *ds, uint64_t root, unsigned height, uint64_t i,
                              uint64_t *child);
int __must_check ds_index_set(struct ds *ds, struct ds_page *ino_page, uint64_t i, uint64_t child);

/* dir.c: names. Directories are pages of type INODE with a bucket table. */
uint64_t ds_hash(const char *name, size_t len);
/* A walk along a chain has come to its `count`th page: more than DS_CHAIN_MAX is a loop. */
int __must_check ds_dir_chain_step(struct ds *ds, uint64_t page, unsigned count);
/* First page of a bucket that the table has: a missing one is damage. */
int __must_check ds_dir_bucket(struct ds *ds, const struct ds_inode *dir, uint64_t number,
                               uint64_t *page);
int __must_check ds_dir_find(struct ds *ds, uint64_t dir, const char *name, uint64_t *inode);
int __must_check ds_dir_add(struct ds *ds, uint64_t dir, const char *name, uint64_t inode,
                            uint8_t type);
/* Whether a name of that length and hash can be added: -ENOSPC when its bucket is full. */
int __must_check ds_dir_room(struct ds *ds, uint64_t dir, const char *name);
int __must_check ds_dir_remove(struct ds *ds, uint64_t dir, const char *name);
/* Points an existing name elsewhere, in place. */
int __must_check ds_dir_replace(struct ds *ds, uint64_t dir, const char *name, uint64_t inode,
                                uint8_t type);
int ds_dir_walk(struct ds *ds, uint64_t dir, uint64_t *pos,
                bool (*emit)(void *arg, const char *name, uint64_t ino, unsigned type,
                             uint64_t next),
                void *arg);
int __must_check ds_dir_free(struct ds *ds, struct ds_page *ino_page);

/*
 * names.c: one transaction each; these take ds->lock. directory: only a directory, only an empty
 * one.
 */
int __must_check ds_create(struct ds *ds, uint64_t dir, const char *name, uint32_t mode,
                           const char *target, uint64_t *inode);
int __must_check ds_link(struct ds *ds, uint64_t dir, const char *name, uint64_t inode);
int __must_check ds_unlink(struct ds *ds, uint64_t dir, const char *name, bool directory);
int __must_check ds_rename(struct ds *ds, uint64_t dir, const char *name, uint64_t to,
                           const char *to_name);

/* inode.c: open files. One ds_file an inode, shared by all who have it open. */
enum { DS_CHUNK = 512, DS_CHUNKS = 256, DS_GROUPS = 512 }; /* 512 * 256 * 512 blocks = 64 TiB */
#define DS_ALL_WRITTEN (1ull << 63)

struct ds_file {
	struct list link;
	struct ds *ds;
	uint64_t inode;
	uint32_t refs, vdisk; /* vdisk: opened exclusively */
	uint64_t size;
	uint64_t **group[DS_GROUPS]; /* -> chunk -> block | DS_ALL_WRITTEN; 0: ask the map */
	uint32_t in_flight;
	bool draining, unlinked;
	bool torn; /* a truncation met an error half way: old data may lie behind the end */
	struct waitq idle;
	struct mutex writing; /* one slow write at a time */
};

int __must_check ds_inode_create(struct ds *ds, uint32_t mode, struct ds_page **out);
int __must_check ds_inode_unlinked(struct ds *ds, struct ds_page *ino); /* nlink fell to 0 */
int __must_check ds_inode_destroy(struct ds *ds, uint64_t inode);       /* an orphan, in steps */
int __must_check ds_orphans(struct ds *ds);                             /* at mount */
int __must_check ds_truncate(struct ds_file *f, uint64_t size);
int __must_check ds_file_mend(struct ds_file *f); /* before a write: ends what is torn */
int __must_check ds_file_open(struct ds *ds, uint64_t inode, struct ds_file **out);
void ds_file_close(struct ds_file *f);
bool ds_file_enter(struct ds_file *f); /* data I/O starts; false: drains, sleep with ds_file_wait */
void ds_file_enter_wait(struct ds_file *f); /* sleeps as long as it drains */
void ds_file_leave(struct ds_file *f);
void ds_file_drain(struct ds_file *f); /* keeps new I/O out until ds_file_resume */
void ds_file_resume(struct ds_file *f);
uint64_t ds_cached(const struct ds_file *f, uint64_t index);
void ds_cache_set(struct ds_file *f, uint64_t index, uint64_t entry);

/* data.c: contents. Offsets and lengths in bytes, kernel memory; any alignment. */
ssize_t ds_read(struct ds_file *f, uint64_t off, void *buf, size_t n);
ssize_t ds_write(struct ds_file *f, uint64_t off, const void *buf, size_t n);
int __must_check ds_sync(struct ds *ds);
/* Moves inline contents into a block, as a step of the caller's transaction. */
int __must_check ds_inline_move(struct ds *ds, struct ds_page *ino_page);
/* The map entry of block `index`, from the cache when all of the block is written. */
int __must_check ds_lookup(struct ds_file *f, uint64_t index, struct ds_map_entry *e);
/* Bytes from off to the end of the run of pieces that are alike (written or not), at most n. */
size_t ds_run_of(const struct ds_map_entry *e, uint64_t off, size_t n, bool *written);
/* Space for data that is about to be written; a commit makes room when that helps. */
int __must_check ds_reserve(struct ds *ds, uint64_t *block);
/*
 * Marks the pieces under [off, off + n) written, maps a fresh block, grows the file: one step.
 * Under ds->lock.
 */
int __must_check ds_publish(struct ds_file *f, uint64_t off, size_t n, uint64_t fresh);

/*
 * direct.c: contents without a copy; offsets and lengths are whole sectors of the device. ds_direct
 * submits r (op, len, sg, done are filled) for the file's bytes from off when they are all written
 * and lie side by side; ds_direct_flush when there is no metadata to write. false: take ds_rw_sg,
 * ds_zero, ds_sync from a world that may sleep. Of a request that went, done calls ds_file_leave.
 */
bool ds_direct(struct ds_file *f, struct blk_req *r, uint64_t off);
bool ds_direct_flush(struct ds_file *f, struct blk_req *r);
/*
 * BLK_READ or BLK_WRITE; sg has len bytes in `count` pieces. A failed write may have written a
 * part.
 */
int __must_check ds_rw_sg(struct ds_file *f, enum blk_op op, uint64_t off, const struct sg *sg,
                          unsigned count, uint64_t len);
int __must_check ds_zero(struct ds_file *f, uint64_t off, uint64_t len); /* maps nothing new */
/* Whole blocks inside of [off, off + len) become holes; data I/O waits meanwhile. */
int __must_check ds_unmap(struct ds_file *f, uint64_t off, uint64_t len);

/* space.c: what of a file is there. */
/* The next data at or behind `from`, or the next hole (the file's end is one); -ENXIO. */
int __must_check ds_seek(struct ds_file *f, uint64_t from, bool hole, uint64_t *found);
/*
 * Blocks below [off, off + len), so that writes there do not meet a full volume; keep: the size
 * stays.
 */
int __must_check ds_allocate(struct ds_file *f, uint64_t off, uint64_t len, bool keep);
/* Zeros over [off, off + len) up to the end; whole blocks become holes. */
int __must_check ds_punch(struct ds_file *f, uint64_t off, uint64_t len);

/* mount.c */
int __must_check ds_format(struct blk_dev *dev, const char *label, const uint8_t uuid[16]);
int __must_check ds_mount(struct blk_dev *dev, struct ds **out);
int ds_freeze(struct ds *ds);  /* all is durable and in place, and read-only from now on */
int ds_unmount(struct ds *ds); /* -EBUSY; else ds is gone, whatever the result */

static inline uint64_t ds_block_page(uint64_t block)
{
	return block * DS_BLOCK_PAGES;
}

/* Bytes that an entry of a bucket takes. */
static inline uint32_t ds_name_size(uint8_t len)
{
	return ALIGN_UP((uint32_t)offsetof(struct ds_name, name) + len, 8u);
}
#endif
