// SPDX-License-Identifier: Apache-2.0
/*
 * Directories: a linear hash table of buckets, one page each with overflow pages behind. An
 * insertion that needs an overflow page also splits one bucket, so a name costs a few pages at any
 * size. Walks follow the hashes' bits in reverse, an order that splits do not disturb. ds->lock
 * guards everything.
 */
#include "ds.h"

#include "vmk/mm.h"
#include "vmk/string.h"

uint64_t ds_hash(const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ull;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ull;
	return h ^ h >> 33;
}

static uint64_t reverse(uint64_t x)
{
	x = (x & 0x5555555555555555ull) << 1 | (x >> 1 & 0x5555555555555555ull);
	x = (x & 0x3333333333333333ull) << 2 | (x >> 2 & 0x3333333333333333ull);
	x = (x & 0x0f0f0f0f0f0f0f0full) << 4 | (x >> 4 & 0x0f0f0f0f0f0f0f0full);
	return __builtin_bswap64(x);
}

/* Bits of the hash that choose the bucket among `buckets`, for that hash. */
static unsigned bucket_bits(uint64_t buckets, uint64_t hash)
{
	unsigned bits = log2_floor(buckets);

	/* Buckets below 2^bits that were split in this doubling are told apart by one more bit. */
	return (hash & ((2ull << bits) - 1)) < buckets ? bits + 1 : bits;
}

static uint64_t bucket_of(uint64_t buckets, uint64_t hash)
{
	return hash & ((1ull << bucket_bits(buckets, hash)) - 1);
}

/* The entry at off; ds_validate() and the code here keep a bucket's entries exactly in `used`. */
static struct ds_name *entry_at(struct ds_bucket *b, uint32_t off)
{
	return (struct ds_name *)(b->data + off);
}

int ds_dir_chain_step(struct ds *ds, uint64_t page, unsigned count)
{
	return count <= DS_CHAIN_MAX ? 0 : ds_damaged(ds, "directory page %lu is in a loop", page);
}

static int inode_page(struct ds *ds, uint64_t dir, struct ds_page **out)
{
	int err = ds_page_get(ds, dir, DS_INODE, out);

	if (err == 0 && (((struct ds_inode *)(*out)->data)->mode & DS_MODE_TYPE) != DS_MODE_DIR) {
		ds_page_put(ds, *out);
		return -ENOTDIR;
	}
	return err;
}

int ds_dir_bucket(struct ds *ds, const struct ds_inode *dir, uint64_t number, uint64_t *page)
{
	int err = ds_index_get(ds, dir->root, dir->height, number, page);

	return err || *page ? err : ds_damaged(ds, "a directory lacks bucket %lu", number);
}

/* Finds name's page (pinned) and place in its bucket; -ENOENT. */
static int locate(struct ds *ds, const struct ds_inode *dir, const char *name, struct ds_page **out,
                  uint32_t *place)
{
	size_t len = strlen(name);
	uint64_t hash = ds_hash(name, len), page;
	int err;

	if (!dir->buckets)
		return -ENOENT;
	err = ds_dir_bucket(ds, dir, bucket_of(dir->buckets, hash), &page);
	for (unsigned count = 1; err == 0 && page; count++) {
		struct ds_page *p;
		struct ds_bucket *b;

		err = ds_dir_chain_step(ds, page, count);
		if (err == 0)
			err = ds_page_get(ds, page, DS_BUCKET, &p);
		if (err)
			return err;
		b = p->data;
		for (uint32_t off = 0; off < b->used;) {
			struct ds_name *n = entry_at(b, off);

			/*
			 * The page stays pinned and ds->lock held, so the place stays valid for the
			 * caller.
			 */
			if (n->hash == hash && n->len == len && memcmp(n->name, name, len) == 0) {
				*out = p;
				*place = off;
				return 0;
			}
			off += ds_name_size(n->len);
		}
		page = b->next;
		ds_page_put(ds, p);
	}
	return err ? err : -ENOENT;
}

/*
 * A directory has one name, in the directory that its parent field names: no other entry leads to
 * it. So the tree has no loops, and the root, its own parent, no name at all.
 */
static int check_child(struct ds *ds, uint64_t dir, uint64_t inode)
{
	const struct ds_inode *ino;
	struct ds_page *p;
	int err = ds_page_get(ds, inode, DS_INODE, &p);

	if (err)
		return err;
	ino = p->data;
	if ((ino->mode & DS_MODE_TYPE) == DS_MODE_DIR && (ino->parent != dir || inode == dir))
		err = ds_damaged(ds, "directory %lu is named in %lu, not its parent", inode, dir);
	ds_page_put(ds, p);
	return err;
}

int ds_dir_find(struct ds *ds, uint64_t dir, const char *name, uint64_t *inode)
{
	struct ds_page *dp, *p;
	uint32_t place;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	err = locate(ds, dp->data, name, &p, &place);
	if (err == 0) {
		*inode = entry_at(p->data, place)->inode;
		ds_page_put(ds, p);
		err = check_child(ds, dir, *inode);
	}
	ds_page_put(ds, dp);
	return err;
}

static int new_bucket(struct ds *ds, struct ds_page **out)
{
	uint64_t page;
	int err = ds_meta_alloc(ds, &page);

	return err ? err : ds_page_new(ds, page, DS_BUCKET, out);
}

/* Puts an entry into the chain that begins at page; *overflowed when the chain grew. */
static int chain_add(struct ds *ds, uint64_t page, const struct ds_name *n, bool *overflowed)
{
	uint32_t size = ds_name_size(n->len);
	struct ds_page *p, *more;
	struct ds_bucket *b;
	int err;

	for (unsigned count = 1;; count++) {
		err = ds_dir_chain_step(ds, page, count);
		if (err == 0)
			err = ds_page_get(ds, page, DS_BUCKET, &p);
		if (err)
			return err;
		b = p->data;
		if (b->used + size <= sizeof(b->data))
			break;
		/*
		 * Entries never span pages; the free bytes at the end of each page of a chain are
		 * lost until the bucket is split.
		 */
		if (!b->next) {
			err = new_bucket(ds, &more);
			if (err) {
				ds_page_put(ds, p);
				return err;
			}
			ds_page_dirty(ds, p);
			b->next = more->page;
			*overflowed = true;
			ds_page_put(ds, p);
			p = more;
			b = p->data;
			break;
		}
		page = b->next;
		ds_page_put(ds, p);
	}
	ds_page_dirty(ds, p);
	memset(b->data + b->used, 0, size);
	memcpy(b->data + b->used, n, offsetof(struct ds_name, name) + n->len);
	b->used += size;
	ds_page_put(ds, p);
	return 0;
}

/*
 * Moves a whole chain's entries into buf, which has room for DS_CHAIN_MAX pages of them, and
 * empties it to its first page; returns bytes or -errno.
 */
static ssize_t chain_take(struct ds *ds, uint64_t page, uint8_t *buf)
{
	uint64_t next = page;
	size_t n = 0;

	for (unsigned count = 1; next; count++) {
		struct ds_page *p;
		struct ds_bucket *b;
		uint64_t here = next;
		int err = ds_dir_chain_step(ds, here, count);

		if (err == 0)
			err = ds_page_get(ds, here, DS_BUCKET, &p);
		if (err)
			return err;
		b = p->data;
		next = b->next;
		memcpy(buf + n, b->data, b->used);
		n += b->used;
		ds_page_dirty(ds, p);
		/*
		 * The first page keeps its place in the index; the overflow pages are freed and may
		 * be taken again at once by chain_add, in the same transaction.
		 */
		b->used = 0;
		b->next = 0;
		memset(b->data, 0, sizeof(b->data));
		ds_page_put(ds, p);
		if (here != page) {
			err = ds_meta_free(ds, here);
			if (err)
				return err;
		}
	}
	return (ssize_t)n;
}

/* Linear hashing: the next bucket in turn gives half of its names to a new one. */
static int split(struct ds *ds, struct ds_page *dp)
{
	struct ds_inode *dir = dp->data;
	uint64_t fresh = dir->buckets, old = fresh - (1ull << log2_floor(fresh)), from, to;
	uint8_t *buf = vmalloc(DS_CHAIN_MAX * sizeof(((struct ds_bucket *)NULL)->data));
	struct ds_page *p;
	ssize_t n;
	int err = buf ? new_bucket(ds, &p) : -ENOMEM;

	if (err)
		goto out;
	to = p->page;
	ds_page_put(ds, p);
	/*
	 * With buckets not yet raised, the new bucket is in the tree but no hash leads to it: until
	 * here an error leaves the table as it was.
	 */
	err = ds_index_set(ds, dp, fresh, to);
	if (err == 0)
		err = ds_dir_bucket(ds, dir, old, &from);
	if (err)
		goto out;
	/*
	 * From here on bucket_of() counts the new bucket, and sends about half of the old one's
	 * names to it.
	 */
	dir->buckets++;
	n = chain_take(ds, from, buf);
	err = n < 0 ? (int)n : 0;
	for (ssize_t off = 0; off < n && err == 0;) {
		const struct ds_name *e = (const struct ds_name *)(buf + off);
		bool overflowed;

		err = chain_add(ds, bucket_of(dir->buckets, e->hash) == fresh ? to : from, e,
		                &overflowed);
		off += ds_name_size(e->len);
	}
out:
	vfree(buf);
	return err;
}

/*
 * One step of the caller's transaction, which has room (ds_begin_room): at most a bucket, an
 * overflow page, a split and the index pages above the new bucket. ds->lock is held.
 */
int ds_dir_add(struct ds *ds, uint64_t dir, const char *name, uint64_t inode, uint8_t type)
{
	struct {
		struct ds_name n;
		char text[DS_NAME_MAX + 1];
	} e = { .n = { .inode = inode, .type = type } };
	struct ds_page *dp, *p;
	struct ds_inode *d;
	bool overflowed = false;
	uint64_t page;
	uint32_t place;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	d = dp->data;
	/*
	 * Only -ENOENT goes on. The callers have looked for the name before, under the same lock;
	 * this keeps the table free of duplicates whatever they do.
	 */
	err = locate(ds, d, name, &p, &place);
	if (err != -ENOENT) {
		if (err == 0)
			ds_page_put(ds, p);
		err = err ? err : -EEXIST;
		goto out;
	}
	e.n.len = (uint8_t)str_copy(e.n.name, name, sizeof(e.text));
	e.n.hash = ds_hash(name, e.n.len);
	ds_page_dirty(ds, dp);
	err = 0;
	/* The first name of a directory: bucket 0 is the whole table and the root of the tree. */
	if (!d->buckets) {
		err = new_bucket(ds, &p);
		if (err)
			goto out;
		page = p->page;
		ds_page_put(ds, p);
		err = ds_index_set(ds, dp, 0, page);
		d->buckets = 1;
	} else {
		err = ds_dir_bucket(ds, d, bucket_of(d->buckets, e.n.hash), &page);
	}
	if (err == 0)
		err = chain_add(ds, page, &e.n, &overflowed);
	if (err == 0)
		d->entries++;
	/*
	 * Growth follows overflow rather than a load factor. The bucket that is split is the next
	 * in turn, not the one that overflowed; its turn comes within one doubling, so chains stay
	 * short on average. The new name is in place before, and is moved with the others.
	 */
	if (err == 0 && overflowed && d->buckets < DS_BUCKETS_MAX)
		err = split(ds, dp);
out:
	ds_page_put(ds, dp);
	return err;
}

/*
 * Asked before a step begins that ends with ds_dir_add: a name that finds its bucket full must not
 * fail in the step's middle. Buckets fill up only where names were chosen for their hashes.
 */
int ds_dir_room(struct ds *ds, uint64_t dir, const char *name)
{
	size_t len = strlen(name);
	struct ds_page *dp, *p;
	struct ds_inode *d;
	uint64_t page = 0;
	bool room = true;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	d = dp->data;
	if (d->buckets)
		err = ds_dir_bucket(ds, d, bucket_of(d->buckets, ds_hash(name, len)), &page);
	for (unsigned count = 1; err == 0 && page; count++) {
		err = ds_dir_chain_step(ds, page, count);
		if (err == 0)
			err = ds_page_get(ds, page, DS_BUCKET, &p);
		if (err)
			break;
		page = ((struct ds_bucket *)p->data)->next;
		/* The last page that a chain may have has to take the name itself. */
		room = count < DS_CHAIN_MAX ||
		       ((struct ds_bucket *)p->data)->used + ds_name_size((uint8_t)len) <=
		               sizeof(((struct ds_bucket *)NULL)->data);
		ds_page_put(ds, p);
	}
	ds_page_put(ds, dp);
	return err || room ? err : -ENOSPC;
}

int ds_dir_remove(struct ds *ds, uint64_t dir, const char *name)
{
	struct ds_page *dp, *p;
	struct ds_bucket *b;
	uint32_t place, size;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	err = locate(ds, dp->data, name, &p, &place);
	if (err == 0 && !((struct ds_inode *)dp->data)->entries) {
		ds_page_put(ds, p);
		err = ds_damaged(ds, "directory %lu has more names than it counts", dir);
	}
	if (err == 0) {
		b = p->data;
		size = ds_name_size(entry_at(b, place)->len);
		ds_page_dirty(ds, p);
		ds_page_dirty(ds, dp);
		/*
		 * Buckets never shrink or merge: an emptied page waits for new names, and
		 * ds_dir_free takes it with the directory.
		 */
		memmove(b->data + place, b->data + place + size, b->used - place - size);
		b->used -= size;
		memset(b->data + b->used, 0, size);
		((struct ds_inode *)dp->data)->entries--;
		ds_page_put(ds, p);
	}
	ds_page_put(ds, dp);
	return err;
}

int ds_dir_replace(struct ds *ds, uint64_t dir, const char *name, uint64_t inode, uint8_t type)
{
	struct ds_page *dp, *p;
	uint32_t place;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	err = locate(ds, dp->data, name, &p, &place);
	if (err == 0) {
		struct ds_name *n = entry_at(p->data, place);

		ds_page_dirty(ds, p);
		n->inode = inode;
		n->type = type;
		ds_page_put(ds, p);
	}
	ds_page_put(ds, dp);
	return err;
}

/*
 * Of the chain's entries with a key at or above `from` the one with the smallest, copied to *best.
 */
static int chain_next(struct ds *ds, uint64_t page, uint64_t from, struct ds_name *best, char *name)
{
	int found = 0;
	uint64_t least = 0;

	for (unsigned count = 1; page; count++) {
		struct ds_page *p;
		struct ds_bucket *b;
		int err = ds_dir_chain_step(ds, page, count);

		if (err == 0)
			err = ds_page_get(ds, page, DS_BUCKET, &p);
		if (err)
			return err;
		b = p->data;
		for (uint32_t off = 0; off < b->used;) {
			struct ds_name *n = entry_at(b, off);
			uint64_t key;

			/*
			 * Positions have 63 bits (seekdir gives them to user space as a signed
			 * number): hashes that differ in their top bit only share one, and of those
			 * names one could be skipped in a walk.
			 */
			key = reverse(n->hash) >> 1;
			if (key >= from && (!found || key < least)) {
				found = 1;
				least = key;
				*best = *n;
				memcpy(name, n->name, n->len);
				name[n->len] = 0;
			}
			off += ds_name_size(n->len);
		}
		page = b->next;
		ds_page_put(ds, p);
	}
	return found;
}

int ds_dir_walk(struct ds *ds, uint64_t dir, uint64_t *pos,
                bool (*emit)(void *arg, const char *name, uint64_t ino, unsigned type,
                             uint64_t next),
                void *arg)
{
	const uint64_t end = 1ull << 63;
	char name[DS_NAME_MAX + 1];
	struct ds_page *dp;
	struct ds_inode *d;
	int err = inode_page(ds, dir, &dp);

	if (err)
		return err;
	d = dp->data;
	while (d->buckets && *pos < end) {
		uint64_t hash = reverse(*pos << 1), page;
		/*
		 * In bit-reversed order a split puts both halves of a bucket where the bucket was,
		 * so a walk that sleeps between calls neither repeats nor misses a name that stays.
		 */
		unsigned bits = bucket_bits(d->buckets, hash);
		struct ds_name n;

		err = ds_dir_bucket(ds, d, bucket_of(d->buckets, hash), &page);
		if (err == 0)
			err = chain_next(ds, page, *pos, &n, name);
		if (err < 0)
			break;
		if (err == 0) { /* on to the next bucket in this order */
			/*
			 * The next position whose upper `bits` bits differ: all hashes of this
			 * bucket share them.
			 */
			*pos = bits ? ((*pos >> (63 - bits)) + 1) << (63 - bits) : end;
			continue;
		}
		err = 0;
		if (!emit(arg, name, n.inode, n.type, (reverse(n.hash) >> 1) + 1))
			break;
		*pos = (reverse(n.hash) >> 1) + 1;
	}
	ds_page_put(ds, dp);
	return err;
}
