# SPDX-License-Identifier: Apache-2.0
"""The file layer as a host unit: tmpfs root, pipes, AF_UNIX sockets, epoll, driven by descriptors.

`Files` is a small system-call layer over it: integers for open files, bytes for data, OSError for
errors. One world: nothing ever waits, so every file is opened with O_NONBLOCK."""

import functools
import os
from typing import Any

from tests.unit import cunit

SOURCES = [
    f"vmkernel/fs/{name}.c"
    for name in (
        *("block", "cpio", "dentry", "devmem", "devfs", "epoll", "eventfd", "fdtable", "file"),
        *("flock", "genfs", "text"),
        *("fsctx", "inode", "path", "pipe", "poll", "socket", "tmpfs", "tmpfs_data", "unix"),
        *("unix_gc", "unix_kernel", "unix_msg", "unix_name", "vfs"),
    )
] + ["vmkernel/lib/string.c", "vmkernel/lib/tree.c", "vmkernel/lib/printf.c"]
HEADERS = ["fs/vfs.h", "fs/socket.h", "fs/epoll.h", "fs/eventfd.h", "fs/cpio.h", "vmk/mm.h"]

CDEF = """
void test_boot(uint64_t limit);
int64_t test_rw(struct file *f, void *buf, size_t n, int64_t pos, bool write);
int test_list(struct file *f, char *out, size_t size);
int test_stat(const char *path, bool follow, uint64_t out[4]);
unsigned test_poll(struct file *f);
int test_socket(int type, struct file **out);
int test_pair(int type, struct file **one, struct file **two);
int test_accept(struct file *f, struct file **out);
int test_bind(struct file *f, const void *name, uint32_t len, int listen);
int test_connect(struct file *f, const void *name, uint32_t len);
int test_connect_wait(struct file *f, const void *name, uint32_t len);
extern void (*test_meanwhile)(void);
int64_t test_send(struct file *f, const void *buf, size_t n, struct file *pass);
int64_t test_recv(struct file *f, void *buf, size_t n, struct file **got);
int64_t test_recv_bare(struct file *f, void *buf, size_t n);
int test_shutdown(struct file *f, int how);
uint64_t test_files_open(void);
int test_epoll(struct file *ep, uint64_t (*out)[2], int max);
int test_epoll_ctl(struct file *ep, int op, struct file *f, int fd, uint32_t events);
void test_backing(const char *path, const void *data, uint64_t len);
void test_disk(uint32_t number, const char *id, uint8_t *data, uint32_t block, uint64_t blocks);
int test_fsync(struct file *f);
extern unsigned test_flushes, test_disk_opens;
extern bool test_disk_held;
"""

CODE = r"""
#include "fs/block.h"
#include "fs/socket.h"
#include "proc/proc.h"
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/memobj.h"
#include "vmk/random.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "seam.h"
#include <stdlib.h>

struct fs *tmpfs_root;
static struct fsctx *ctx;

/* User memory does not exist here: every uio is over kernel memory, in one piece. */
void uio_init_kernel(struct uio *u, void *base, size_t len)
{
	*u = (struct uio){ .one = { (uintptr_t)base, len }, .count = 1, .left = len, .kernel = true };
}
int uio_read(struct uio *u, void *dst, size_t n)
{
	ASSERT(n <= u->left);
	memcpy(dst, (char *)(uintptr_t)u->one.base + u->skip, n);
	uio_advance(u, n);
	return 0;
}
int uio_write(struct uio *u, const void *src, size_t n)
{
	ASSERT(n <= u->left);
	memcpy((char *)(uintptr_t)u->one.base + u->skip, src, n);
	uio_advance(u, n);
	return 0;
}
void uio_advance(struct uio *u, size_t n)
{
	u->skip += n;
	u->left -= n;
}
int copy_to_user(uva_t dst, const void *src, size_t n) { return -EFAULT; }
int copy_from_user(void *dst, uva_t src, size_t n) { return -EFAULT; }

/* One process, root. */
struct proc *proc_current(void) { return (struct proc *)&ctx; }
struct fsctx *proc_fsctx(struct proc *p) { return ctx; }
struct fdtable *proc_fdtable(struct proc *p) { return NULL; }
int proc_pid(const struct proc *p) { return 7; }
/* What another thread does while a call looks at permissions. */
void (*test_meanwhile)(void);
const struct cred *cred_current(void)
{
	static const struct cred root;
	void (*fn)(void) = test_meanwhile;

	test_meanwhile = NULL;
	if (fn)
		fn();
	return &root;
}
bool cred_in_group(uint32_t gid) { return gid == 0; }
uint64_t proc_rlimit(unsigned which) { return UINT64_MAX; }
void signal_current(int sig) {}
bool signal_pending(uint64_t mask) { return false; }
bool signal_take(uint64_t mask, void *info) { return false; }
struct waitq *signal_waitq(void) { return NULL; }
void world_wake(struct world *w) {}
void random_bytes(void *buf, size_t n) { memset(buf, 0x5a, n); }
void random_mix(const void *buf, size_t n) {}

/* Memory objects that nobody maps. */
void memobj_init(struct memobj *o, const struct memobj_ops *ops, uint64_t pages)
{
	*o = (struct memobj){ .ops = ops, .pages = pages, .refs = 1 };
	mutex_init(&o->lock, "memobj");
}
void memobj_put(struct memobj *o)
{
	if (--o->refs == 0)
		o->ops->release(o);
}
void memobj_unmap(struct memobj *o, uint64_t first, uint64_t count)
{
	ASSERT(mutex_held(&o->lock));
}
int memobj_create_anon(uint64_t pages, struct memobj **out) { return -ENOMEM; }
pa_t user_page_new(enum frame_owner owner, bool zero)
{
	return page_alloc(ORDER_4K, owner, zero ? ALLOC_ZERO : 0);
}

/* Two disks in memory, behind the calls that block nodes make. */
static struct blk_dev test_disks[2];
unsigned test_flushes, test_disk_opens;
bool test_disk_held;
void test_disk(uint32_t number, const char *id, uint8_t *data, uint32_t block, uint64_t blocks)
{
	struct blk_dev *d = &test_disks[number];

	*d = (struct blk_dev){ .number = number + 300, .drvdata = data };
	d->limits = (struct blk_limits){ .block_size = block, .blocks = blocks };
	str_copy(d->id, id, sizeof(d->id));
}
int blk_open(struct blk_dev *d, bool exclusive)
{
	if (exclusive && test_disk_held)
		return -EBUSY;
	test_disk_opens++;
	test_disk_held |= exclusive;
	return 0;
}
void blk_close(struct blk_dev *d, bool exclusive)
{
	test_disk_opens--;
	test_disk_held &= !exclusive;
}
bool blk_in_use(struct blk_dev *d) { return test_disk_held; }
struct blk_dev *blk_next(uint32_t number)
{
	for (unsigned i = 0; i < 2; i++)
		if (test_disks[i].number && test_disks[i].number >= number)
			return test_disk_opens++, &test_disks[i];
	return NULL;
}
struct blk_dev *blk_find(const char *id)
{
	for (unsigned i = 0; i < 2; i++)
		if (strcmp(test_disks[i].id, id) == 0)
			return test_disk_opens++, &test_disks[i];
	return NULL;
}
int blk_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, const struct sg *sg, unsigned count)
{
	uint32_t block = d->limits.block_size;
	uint8_t *at = (uint8_t *)d->drvdata + offset, *page = pa_to_va(sg->pa);

	ASSERT(count == 1 && sg->len && offset % block == 0 && sg->len % block == 0 &&
		offset + sg->len <= blk_size(d));
	memcpy(op == BLK_READ ? page : at, op == BLK_READ ? at : page, sg->len);
	return 0;
}
int blk_flush(struct blk_dev *d) { return test_flushes++, 0; }
int blk_range(struct blk_dev *d, enum blk_op op, uint64_t offset, uint64_t len) { return -EIO; }
int blk_rescan(struct blk_dev *d) { return -EBUSY; }
int test_fsync(struct file *f) { return f->ops->fsync(f, false); }

void test_boot(uint64_t limit)
{
	epoll_init();
	lock_init();
	pipe_init();
	ASSERT(tmpfs_create("rootfs", limit, &tmpfs_root) == 0);
	ASSERT(vfs_mount("/", tmpfs_root) == 0);
	ASSERT(fsctx_create(&ctx) == 0);
	(void)fsctx_umask(0);
	unix_init();
	devfs_init();
	block_init();
}
int64_t test_rw(struct file *f, void *buf, size_t n, int64_t pos, bool write)
{
	struct uio u;
	uint64_t at = (uint64_t)pos;

	uio_init_kernel(&u, buf, n);
	return (write ? file_write : file_read)(f, &u, pos < 0 ? NULL : &at);
}
struct listing { char *out; size_t len, size; };
static bool emit(void *arg, const char *name, uint64_t ino, unsigned type, uint64_t next)
{
	struct listing *l = arg;
	size_t n = strlen(name);

	if (l->len + n + 1 > l->size)
		return false;
	memcpy(l->out + l->len, name, n + 1);
	l->len += n + 1;
	return true;
}
int test_list(struct file *f, char *out, size_t size)
{
	struct listing l = { out, 0, size };
	int r = f->ops->readdir(f, &f->pos, emit, &l);

	return r ? r : (int)l.len;
}
int test_stat(const char *path, bool follow, uint64_t out[4])
{
	struct dentry *d;
	struct vstat st;
	int r = path_lookup(NULL, path, follow ? WALK_FOLLOW : 0, &d);

	if (r)
		return r;
	inode_stat(d->inode, &st);
	dentry_put(d);
	out[0] = st.ino;
	out[1] = st.mode;
	out[2] = st.size;
	out[3] = st.nlink;
	return 0;
}
unsigned test_poll(struct file *f)
{
	struct waitq *q;

	return f->ops->poll(f, &q);
}
int test_socket(int type, struct file **out)
{
	struct socket *s;
	int r = socket_create(AF_UNIX, (unsigned)type, 0, &s);

	return r ? r : socket_file(s, O_NONBLOCK, out);
}
int test_pair(int type, struct file **one, struct file **two)
{
	int r = test_socket(type, one);

	if (!r)
		r = test_socket(type, two);
	return r ? r : unix_pair(socket_of(*one), socket_of(*two));
}
static struct sockaddr_any address(const void *name, uint32_t len)
{
	struct sockaddr_any a = { .len = len + 2 };

	a.family = AF_UNIX;
	memcpy(a.bytes + 2, name, len);
	return a;
}
int test_bind(struct file *f, const void *name, uint32_t len, int listen)
{
	struct sockaddr_any a = address(name, len);
	struct socket *s = socket_of(f);
	int r = s->ops->bind(s, &a);

	return r || listen < 0 ? r : s->ops->listen(s, (unsigned)listen);
}

int test_connect(struct file *f, const void *name, uint32_t len)
{
	struct sockaddr_any a = address(name, len);

	return socket_of(f)->ops->connect(socket_of(f), &a, true);
}
int test_connect_wait(struct file *f, const void *name, uint32_t len)
{
	struct sockaddr_any a = address(name, len);

	return socket_of(f)->ops->connect(socket_of(f), &a, false);
}
int test_accept(struct file *f, struct file **out)
{
	return socket_accept(socket_of(f), true, O_NONBLOCK, out);
}
int64_t test_send(struct file *f, const void *buf, size_t n, struct file *pass)
{
	struct uio u;
	struct file *fds[1] = { pass ? file_get(pass) : NULL };
	struct sock_msg m = { .u = &u, .flags = MSG_DONTWAIT, .fds = fds, .nfds = pass != NULL };
	int64_t r;

	uio_init_kernel(&u, (void *)(uintptr_t)buf, n);
	r = socket_of(f)->ops->send(socket_of(f), &m);
	if (m.nfds)
		file_put(fds[0]);
	return r;
}
int64_t test_recv(struct file *f, void *buf, size_t n, struct file **got)
{
	struct uio u;
	struct sock_msg m = { .u = &u, .flags = MSG_DONTWAIT, .fds = got, .fds_max = 1 };
	int64_t r;

	*got = NULL;
	uio_init_kernel(&u, buf, n);
	r = socket_of(f)->ops->recv(socket_of(f), &m);
	return r;
}
uint64_t test_files_open(void)
{
	SECTION_FOR_EACH(struct stat_entry, e, stats)
		if (strcmp(e->name, "fs.files") == 0)
			return *e->value;
	return 0;
}
/* Without room for the file of the message. */
int64_t test_recv_bare(struct file *f, void *buf, size_t n)
{
	struct uio u;
	struct sock_msg m = { .u = &u, .flags = MSG_DONTWAIT };

	uio_init_kernel(&u, buf, n);
	return socket_of(f)->ops->recv(socket_of(f), &m);
}
int test_shutdown(struct file *f, int how)
{
	return socket_of(f)->ops->shutdown(socket_of(f), how);
}
/* struct epoll_event is packed, which cffi cannot say. */
int test_epoll(struct file *ep, uint64_t (*out)[2], int max)
{
	struct epoll_event ev[64];
	int n = epoll_collect(ep, ev, MIN(max, 64), 0);

	for (int i = 0; i < n; i++) {
		out[i][0] = ev[i].data;
		out[i][1] = ev[i].events;
	}
	return n;
}
int test_epoll_ctl(struct file *ep, int op, struct file *f, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data = (uint64_t)fd };

	return epoll_control(ep, op, f, fd, &ev);
}
void test_backing(const char *path, const void *data, uint64_t len)
{
	struct dentry *d;

	ASSERT(path_lookup(NULL, path, 0, &d) == 0);
	tmpfs_set_backing(d->inode, data, len);
	dentry_put(d);
}
"""


@functools.cache
def build() -> cunit.Unit:
    """The unit, booted once a process: an empty root with 4 MiB of space."""
    unit = cunit.build("fs", SOURCES, HEADERS, CDEF, code=CODE)
    unit.lib.test_boot(1024)
    return unit


class Files:
    """System calls by name over a unit; every handle is a `struct file *`."""

    def __init__(self, unit: cunit.Unit) -> None:
        self.unit, self.lib, self.ffi = unit, unit.lib, unit.ffi

    def check(self, result: int) -> int:
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> Any:
        out = self.ffi.new("struct file **")
        flags |= os.O_NONBLOCK
        self.check(self.lib.vfs_open_at(self.ffi.NULL, path.encode(), flags, mode, out))
        return out[0]

    def pipe(self) -> tuple[Any, Any]:
        out = self.ffi.new("struct file *[2]")
        self.check(self.lib.pipe_create(os.O_NONBLOCK, out))
        return out[0], out[1]

    def close(self, *files: Any) -> None:
        for file in files:
            self.lib.file_put(file)

    def read(self, file: Any, size: int, pos: int = -1) -> bytes:
        buf = self.ffi.new("char[]", max(size, 1))
        return bytes(
            self.ffi.buffer(buf, self.check(self.lib.test_rw(file, buf, size, pos, False)))
        )

    def write(self, file: Any, data: bytes, pos: int = -1) -> int:
        return self.check(self.lib.test_rw(file, self.ffi.from_buffer(data), len(data), pos, True))

    def names(self, path: str) -> set[str]:
        """What a listing shows, taken in pieces that hold a few names only."""
        folder, found = self.open(path, os.O_DIRECTORY), list[str]()
        buf = self.ffi.new("char[]", 300)
        while n := self.check(self.lib.test_list(folder, buf, 300)):
            found += bytes(self.ffi.buffer(buf, n)).decode().rstrip("\0").split("\0")
        self.close(folder)
        assert len(found) == len(set(found)) and found[:2] == [".", ".."]
        return set(found[2:])

    def stat(self, path: str, follow: bool = True) -> tuple[int, int, int, int]:
        """(inode, mode, size, links)"""
        out = self.ffi.new("uint64_t[4]")
        self.check(self.lib.test_stat(path.encode(), follow, out))
        return out[0], out[1], out[2], out[3]

    def make(self, path: str, mode: int, target: str | None = None) -> None:
        text = self.ffi.NULL if target is None else target.encode()
        null = self.ffi.NULL
        self.check(self.lib.vfs_make(null, path.encode(), mode, 0, text, null))

    def remove(self, path: str, directory: bool = False) -> None:
        self.check(self.lib.vfs_remove(self.ffi.NULL, path.encode(), directory))

    def rename(self, old: str, new: str) -> None:
        null = self.ffi.NULL
        self.check(self.lib.vfs_rename(null, old.encode(), null, new.encode(), 0))

    def pair(self, kind: int) -> tuple[Any, Any]:
        one, two = self.ffi.new("struct file **"), self.ffi.new("struct file **")
        self.check(self.lib.test_pair(kind, one, two))
        return one[0], two[0]

    def send(self, file: Any, data: bytes, passing: Any = None) -> int:
        other = self.ffi.NULL if passing is None else passing
        return self.check(self.lib.test_send(file, self.ffi.from_buffer(data), len(data), other))

    def recv(self, file: Any, size: int) -> tuple[bytes, Any]:
        """Data and the file that came with it, or None."""
        buf, got = self.ffi.new("char[]", max(size, 1)), self.ffi.new("struct file **")
        n = self.check(self.lib.test_recv(file, buf, size, got))
        return bytes(self.ffi.buffer(buf, n)), got[0] or None

    def epoll(self) -> Any:
        out = self.ffi.new("struct file **")
        self.check(self.lib.epoll_create_file(0, out))
        return out[0]

    def epoll_ctl(self, epoll: Any, op: int, file: Any, key: int, events: int) -> None:
        self.check(self.lib.test_epoll_ctl(epoll, op, file, key, events))

    def epoll_wait(self, epoll: Any, limit: int = 64) -> dict[int, int]:
        out = self.ffi.new("uint64_t[64][2]")
        n = self.check(self.lib.test_epoll(epoll, out, limit))
        return {out[i][0]: out[i][1] for i in range(n)}
