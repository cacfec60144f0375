// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors that travel through AF_UNIX, sets of epoll in sets, and sockets that two threads
 * bind: `passing NAME` does one of the deeds that a kernel must survive and prints "passing NAME:
 * ...".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = control,
		            .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(over, &m, MSG_DONTWAIT) == 1 ? 0 : -errno;
}

/* An end is in its own peer's queue and is dropped by a read that has no room for it. */
static void peer(void)
{
	int p[2];
	char byte;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	send_fd(p[0], p[0]);
	close(p[0]);
	ssize_t got = read(p[1], &byte, 1), end = read(p[1], &byte, 1);

	printf("passing peer: %zd then %zd\n", got, end);
}

/* Each socket in the queue of the next, then all closed at once. */
static void chain(void)
{
	int last = -1, p[2], n = 0, err = 0;

	while (n < 900 && !err) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, p);
		if (last >= 0) {
			err = send_fd(p[0], last);
			close(last);
		}
		close(p[0]);
		last = p[1];
		n++;
	}
	close(last);
	printf("passing chain: %d\n", n);
}

/* Rings that nothing leads to: without a collector the bound on files in flight is met soon. */
static void rings(void)
{
	int p[2], full = 0;

	for (int n = 0; n < 20000; n++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
			break;
		full += send_fd(p[0], p[1]) != 0 || send_fd(p[1], p[0]) != 0;
		close(p[0]);
		close(p[1]);
	}
	printf("passing rings: %d refused\n", full);
}

/* More files in flight than a user may have, in more than one queue. */
static void flood(void)
{
	int p[2], err = 0;

	for (int n = 0; n < 400 && err != -ETOOMANYREFS; n++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
			break;
		while (!(err = send_fd(p[0], 1)))
			;
	}
	printf("passing flood: %s\n", err == -ETOOMANYREFS ? "refused" : strerror(-err));
}

/* One-byte messages: they take more memory than a byte. */
static void bytes(void)
{
	int p[2], n = 0;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	while (n < 100000 && send(p[0], "x", 1, MSG_DONTWAIT) == 1)
		n++;
	printf("passing bytes: %s\n", n < 10000 ? "charged" : "free");
}

/* A chain of sets that is built from its outer end. */
static void sets(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int outer = epoll_create1(0), made = 0, last;

	for (int n = 0; n < 300; n++) {
		last = epoll_create1(0);
		if (epoll_ctl(outer, EPOLL_CTL_ADD, last, &event) == 0)
			made++;
		outer = last;
	}
	printf("passing sets: %s\n", made < 299 ? "bounded" : "nested");
}

static int bound;

static void *binder(void *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, name);
	bind(bound, (struct sockaddr *)&a, sizeof(a));
	return NULL;
}

static void binds(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	pthread_t t;
	int dangling = 0;

	for (int n = 0; n < 500; n++) {
		int other = socket(AF_UNIX, SOCK_DGRAM, 0);

		bound = socket(AF_UNIX, SOCK_DGRAM, 0);
		pthread_create(&t, NULL, binder, "/tmp/passing.a");
		binder("/tmp/passing.b");
		pthread_join(t, NULL);
		close(bound);
		for (char c = 'a'; c <= 'b'; c++) {
			snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/passing.%c", c);
			dangling += connect(other, (struct sockaddr *)&a, sizeof(a)) == 0;
			unlink(a.sun_path);
		}
		close(other);
	}
	printf("passing binds: %d dangling\n", dangling);
}

/* Requests without a reader, then one reader. */
static void netlink(void)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} ask = { { sizeof(ask), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { AF_UNSPEC } };
	static char answer[65536];
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), n = 0;

	while (n < 10000 && send(s, &ask, sizeof(ask), 0) == sizeof(ask))
		n++;
	ssize_t got = recv(s, answer, sizeof(answer), MSG_DONTWAIT);

	printf("passing netlink: %s\n", n < 10000 && got > 0 ? "bounded" : "wrong");
}

static void icmp6(void)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int s = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), refused = 0;

	for (int n = 0; n < 4; n++)
		refused += sendto(s, "abc", n, 0, (struct sockaddr *)&to, sizeof(to)) < 0;
	printf("passing icmp6: %d refused\n", refused);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} deeds[] = { { "peer", peer },   { "chain", chain },     { "rings", rings },
		      { "flood", flood }, { "bytes", bytes },     { "sets", sets },
		      { "binds", binds }, { "netlink", netlink }, { "icmp6", icmp6 } };

	for (unsigned i = 0; argc > 1 && i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (!strcmp(argv[1], deeds[i].name))
			deeds[i].fn();
	return 0;
}
