// SPDX-License-Identifier: Apache-2.0
/*
 * System calls that send and receive messages, with control data. Spec: send(2), recv(2), cmsg(3),
 * unix(7).
 */
#include "linux/sock.h"
#include "linux/path.h"
#include "proc/proc.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

enum { CONTROL_MAX = 8192, SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, MMSG_MAX = 1024 };

struct msghdr {
	uint64_t name;
	uint32_t namelen, pad0;
	uint64_t iov, iovlen, control, controllen;
	uint32_t flags, pad1;
};
ASSERT_SIZE(struct msghdr, 56);

static void put_files(struct file **fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		file_put(fds[i]);
}

static unsigned message_flags(const struct file *f, unsigned flags)
{
	return flags | (file_nonblock(f) ? MSG_DONTWAIT : 0);
}

static long send_message(struct file *f, struct socket *s, struct sock_msg *m)
{
	long err = s->ops->send ? s->ops->send(s, m) : -EOPNOTSUPP;

	if (err == -EPIPE && !(m->flags & MSG_NOSIGNAL) && s->type != SOCK_DGRAM)
		signal_current(SIGPIPE);
	return err;
}

/* struct sock_msg is too big for the kernel's stack. */
static long do_sendto(struct file *f, struct socket *s, uva_t buf, size_t len, unsigned flags,
                      uva_t addr, uint32_t addrlen)
{
	struct uio u;
	struct sock_msg *m = kzalloc(sizeof(*m));
	long err = 0;

	if (!m)
		return -ENOMEM;
	m->u = &u;
	m->flags = message_flags(f, flags);
	uio_init_user(&u, buf, MIN(len, (size_t)RW_MAX));
	if (addr)
		err = sockaddr_from_user(addr, addrlen, &m->addr);
	if (!err)
		err = send_message(f, s, m);
	kfree(m);
	return err;
}

SYSCALL6(sendto, int, fd, uva_t, buf, size_t, len, unsigned, flags, uva_t, addr, uint32_t, addrlen)
{
	return WITH_SOCKET(fd, f, s, do_sendto(f, s, buf, len, flags, addr, addrlen));
}

static long do_recvfrom(struct file *f, struct socket *s, uva_t buf, size_t len, unsigned flags,
                        uva_t addr, uva_t addrlen)
{
	struct uio u;
	struct sock_msg *m = kzalloc(sizeof(*m));
	long err;

	if (!m)
		return -ENOMEM;
	m->u = &u;
	m->flags = message_flags(f, flags);
	uio_init_user(&u, buf, MIN(len, (size_t)RW_MAX));
	err = s->ops->recv ? s->ops->recv(s, m) : -EOPNOTSUPP;
	if (err >= 0 && addr) {
		int name_err = sockaddr_to_user(&m->addr, addr, addrlen);

		err = name_err ? name_err : err;
	}
	kfree(m);
	return err;
}

SYSCALL6(recvfrom, int, fd, uva_t, buf, size_t, len, unsigned, flags, uva_t, addr, uva_t, addrlen)
{
	return WITH_SOCKET(fd, f, s, do_recvfrom(f, s, buf, len, flags, addr, addrlen));
}

/* Takes the files of one SCM_RIGHTS. */
static int take_rights(struct sock_msg *m, const uint8_t *data, uint64_t len)
{
	for (uint64_t i = 0; i + 4 <= len; i += 4) {
		int32_t fd;

		memcpy(&fd, data + i, sizeof(fd));
		if (m->nfds >= SOCK_FDS_MAX)
			return -EINVAL;
		/* The caller puts those that were taken, also after an error. */
		m->fds[m->nfds] = fd_get(fd);
		if (!m->fds[m->nfds])
			return -EBADF;
		m->nfds++;
	}
	return 0;
}

static int take_cred(struct sock_msg *m, const uint8_t *data, uint64_t len)
{
	const struct cred *c = cred_current();

	/* unix(7): only root may pretend to be somebody else. */
	if (len != sizeof(m->cred))
		return -EINVAL;
	memcpy(&m->cred, data, sizeof(m->cred));
	if (c->euid && (m->cred.pid != proc_pid(proc_current()) || m->cred.uid != c->euid ||
	                m->cred.gid != c->egid))
		return -EPERM;
	m->has_cred = true;
	return 0;
}

/* Splits user control data: files and credentials into *m, other levels into m->control. */
static int parse_control(struct sock_msg *m, const uint8_t *c, uint64_t len)
{
	/* c is our own copy. at + h.len <= len <= CONTROL_MAX, so m->control has room. */
	for (uint64_t at = 0; at + sizeof(struct cmsghdr) <= len;) {
		struct cmsghdr h;
		int err = 0;

		memcpy(&h, c + at, sizeof(h));
		if (h.len < sizeof(h) || h.len > len - at)
			return -EINVAL;
		if (h.level != SOL_SOCKET) {
			memcpy(m->control + m->control_len, c + at, h.len);
			m->control_len += (uint32_t)CMSG_ALIGN(h.len);
		} else if (h.type == SCM_RIGHTS) {
			err = take_rights(m, c + at + sizeof(h), h.len - sizeof(h));
		} else if (h.type == SCM_CREDENTIALS) {
			err = take_cred(m, c + at + sizeof(h), h.len - sizeof(h));
		} else {
			err = -EINVAL;
		}
		if (err)
			return err;
		at += CMSG_ALIGN(h.len);
	}
	return 0;
}

/* Everything a message call needs beside the header, on the heap. */
struct call {
	struct msghdr h;
	struct sock_msg m;
	struct uio u;
	struct uio_vec *vec;
	struct file *fds[SOCK_FDS_MAX];
	uint8_t control[CONTROL_MAX], user_control[CONTROL_MAX];
};

static void call_free(struct call *c)
{
	if (c)
		kfree(c->vec);
	kfree(c);
}

static int call_new(struct file *f, uva_t hdr, unsigned flags, struct call **out)
{
	struct call *c = kzalloc(sizeof(*c));
	int err;

	*out = c; /* also with an error: the caller frees it */
	if (!c)
		return -ENOMEM;
	if (copy_from_user(&c->h, hdr, sizeof(c->h)))
		return -EFAULT;
	if (c->h.iovlen > IOV_MAX)
		return -EMSGSIZE;
	err = vec_from_user(c->h.iov, c->h.iovlen, &c->vec);
	if (err)
		return err;
	uio_init_vec(&c->u, c->vec, (unsigned)c->h.iovlen);
	c->m.u = &c->u;
	c->m.flags = message_flags(f, flags);
	c->m.fds = c->fds;
	c->m.control = c->control;
	return 0;
}

static long do_sendmsg(struct file *f, struct socket *s, uva_t hdr, unsigned flags)
{
	struct call *c;
	long err = call_new(f, hdr, flags, &c);

	if (!err && c->h.name)
		err = sockaddr_from_user(c->h.name, c->h.namelen, &c->m.addr);
	/* Copied as a whole before it is split: ring 3 may change it meanwhile. */
	if (!err && c->h.control && c->h.controllen) {
		if (c->h.controllen > CONTROL_MAX)
			err = -ENOBUFS;
		else if (copy_from_user(c->user_control, c->h.control, c->h.controllen))
			err = -EFAULT;
		else
			err = parse_control(&c->m, c->user_control, c->h.controllen);
	}
	if (!err)
		err = send_message(f, s, &c->m);
	if (c)
		put_files(c->m.fds, c->m.nfds);
	call_free(c);
	return err;
}

SYSCALL3(sendmsg, int, fd, uva_t, msg, unsigned, flags)
{
	return WITH_SOCKET(fd, f, s, do_sendmsg(f, s, msg, flags));
}

/* Received files become descriptors; those without room are closed. */
static void give_rights(struct sock_msg *m)
{
	uint32_t room = m->control_max - m->control_len;
	int32_t fds[SOCK_FDS_MAX];
	unsigned n = 0, fit = room > sizeof(struct cmsghdr)
	                              ? MIN((room - (uint32_t)sizeof(struct cmsghdr)) / 4, m->nfds)
	                              : 0;

	for (; n < fit; n++) {
		/* It takes over the reference even when it fails. */
		int fd = fd_install(m->fds[n], m->flags & MSG_CMSG_CLOEXEC);

		if (fd < 0) {
			m->fds[n] = NULL;
			break;
		}
		fds[n] = fd;
	}
	put_files(m->fds + n, m->nfds - n);
	if (n < m->nfds)
		m->flags_out |= MSG_CTRUNC;
	if (n)
		socket_put_cmsg(m, SOL_SOCKET, SCM_RIGHTS, fds, n * 4);
}

static long finish_recv(struct call *c, uva_t hdr)
{
	struct sock_msg *m = &c->m;

	if (m->has_cred)
		socket_put_cmsg(m, SOL_SOCKET, SCM_CREDENTIALS, &m->cred, sizeof(m->cred));
	if (m->nfds)
		give_rights(m);
	if (m->control_len && copy_to_user(c->h.control, m->control, m->control_len))
		return -EFAULT;
	if (c->h.name &&
	    copy_to_user(c->h.name, c->m.addr.bytes,
	                 MIN(MIN(c->h.namelen, c->m.addr.len), (uint32_t)sizeof(c->m.addr.bytes))))
		return -EFAULT;
	c->h.namelen = c->m.addr.len;
	c->h.controllen = m->control_len;
	c->h.flags = c->m.flags_out | (c->m.flags & MSG_CMSG_CLOEXEC);
	/* Only the members that are results: controllen and flags in a row, namelen. */
	if (copy_to_user(hdr + offsetof(struct msghdr, controllen), &c->h.controllen, 12) ||
	    (c->h.name && copy_to_user(hdr + offsetof(struct msghdr, namelen), &c->h.namelen, 4)))
		return -EFAULT;
	return 0;
}

static long do_recvmsg(struct file *f, struct socket *s, uva_t hdr, unsigned flags)
{
	struct call *c;
	long err = call_new(f, hdr, flags, &c), finish_err;

	/* With fds_max 0, as recvfrom has it, the socket closes what files come along. */
	if (!err) {
		c->m.fds_max = SOCK_FDS_MAX;
		c->m.control_max = c->h.control
		                           ? (uint32_t)MIN(c->h.controllen, (uint64_t)CONTROL_MAX)
		                           : 0;
		err = s->ops->recv ? s->ops->recv(s, &c->m) : -EOPNOTSUPP;
		if (err >= 0 && (finish_err = finish_recv(c, hdr)) != 0)
			err = finish_err;
	}
	call_free(c);
	return err;
}

SYSCALL3(recvmsg, int, fd, uva_t, msg, unsigned, flags)
{
	return WITH_SOCKET(fd, f, s, do_recvmsg(f, s, msg, flags));
}

/* sendmmsg and recvmmsg: a vector of headers, each followed by the number of bytes. */
static long many(struct file *f, struct socket *s, uva_t vec, unsigned count, unsigned asked,
                 long (*one)(struct file *, struct socket *, uva_t, unsigned))
{
	enum { STRIDE = 64, LEN_AT = 56, MSG_WAITFORONE = 0x10000 };
	uint32_t n = MIN(count, (unsigned)MMSG_MAX), done = 0;
	unsigned flags = asked & ~(unsigned)MSG_WAITFORONE;
	long err = 0;

	for (; done < n; done++) {
		uint32_t len;

		err = one(f, s, vec + done * STRIDE, flags);
		if (err < 0)
			break;
		len = (uint32_t)err;
		/* The message is sent or taken: an error from here on shows after `done` others. */
		if (copy_to_user(vec + done * STRIDE + LEN_AT, &len, sizeof(len))) {
			err = -EFAULT;
			break;
		}
		if (asked & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return done ? (long)done : err;
}

SYSCALL4(sendmmsg, int, fd, uva_t, vec, unsigned, count, unsigned, flags)
{
	return WITH_SOCKET(fd, f, s, many(f, s, vec, count, flags, do_sendmsg));
}

SYSCALL4(recvmmsg, int, fd, uva_t, vec, unsigned, count, unsigned, flags)
{
	return WITH_SOCKET(fd, f, s, many(f, s, vec, count, flags, do_recvmsg));
}
