// SPDX-License-Identifier: Apache-2.0
/* Cases of the program files about processes: their descriptors, signals and limits. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "files.h"

static void *open_myself(void *error)
{
	*(int *)error = syscall(SYS_pidfd_open, gettid(), 0) == -1 ? errno : 0;
	return NULL;
}

/* A process's file tells of its end, takes signals for it, and never means another process. */
void pidfd(void)
{
	struct pollfd p = { .events = POLLIN };
	pid_t child = fork();
	siginfo_t info;
	pthread_t thread;
	int error;

	if (!child)
		for (;;)
			pause();
	CHECK(pthread_create(&thread, NULL, open_myself, &error) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(error == EINVAL || error == ENOENT); /* Linux until 6.14, and later */
	CHECK(syscall(SYS_pidfd_open, -1, 0) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_pidfd_open, 0x7fffffff, 0) == -1 && errno == ESRCH);
	CHECK((p.fd = (int)syscall(SYS_pidfd_open, child, PIDFD_NONBLOCK)) >= 0);
	CHECK(fcntl(p.fd, F_GETFD) == FD_CLOEXEC && poll(&p, 1, 0) == 0);
	CHECK(waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED) == -1 && errno == EAGAIN);
	CHECK(syscall(SYS_pidfd_send_signal, 0, SIGTERM, NULL, 0) == -1 && errno == EBADF);
	CHECK(syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 256) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_pidfd_send_signal, p.fd, 0, NULL, 0) == 0);
	CHECK(syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0) == 0);
	CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
	CHECK(waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED) == 0 && info.si_pid == child);
	CHECK(info.si_code == CLD_KILLED && info.si_status == SIGTERM);
	CHECK(syscall(SYS_pidfd_send_signal, p.fd, 0, NULL, 0) == -1 && errno == ESRCH);
	CHECK(waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED) == -1 && errno == ECHILD);
	CHECK(waitid(P_PIDFD, 0, &info, WEXITED) == -1 && errno == EBADF);
}

/*
 * A child adds a signalfd to its parent's epoll set and ends. The entry stays, though the process
 * whose signals would wake it is gone; what is allocated since then has nothing to do with it.
 */
void watcher_gone(void)
{
	enum { ROUNDS = 8, SIZE = 3000, MESSAGES = 64 };
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set;
	int ep = epoll_create1(0), s, pair[2];
	char message[SIZE];
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (int i = 0; i < SIZE; i++)
		message[i] = (char)(i * 7 + 1);
	for (int round = 0; round < ROUNDS; round++) {
		CHECK((s = signalfd(-1, &set, SFD_NONBLOCK)) >= 0);
		child = fork();
		if (child == 0) {
			CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &event) == 0);
			_exit(0);
		}
		reap(child);
		CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
		for (int i = 0; i < MESSAGES && write(pair[0], message, SIZE) == SIZE; i++)
			;
		CHECK(epoll_wait(ep, &event, 1, 0) == 0);
		CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, s, NULL) == 0);
		/* The set still hears of signals that come to the process that watches itself. */
		event.events = EPOLLIN;
		CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &event) == 0 && raise(SIGUSR1) == 0);
		CHECK(epoll_wait(ep, &event, 1, 5000) == 1);
		CHECK(read(s, message, sizeof(struct signalfd_siginfo)) > 0);
		close(s);
		close(pair[0]);
		close(pair[1]);
	}
}

enum { EXCHANGES = 400000 };

static void *exchange_limits(void *arg)
{
	uint64_t first = (uint64_t)(uintptr_t)arg, sum = 0;
	struct rlimit old, one = { 0, RLIM_INFINITY };

	for (uint64_t i = 0; i < EXCHANGES; i++) {
		one.rlim_cur = first + i;
		CHECK(prlimit(0, RLIMIT_AS, &one, &old) == 0);
		sum += one.rlim_cur - old.rlim_cur;
	}
	return (void *)(uintptr_t)sum;
}

/* prlimit exchanges in one step: what two threads set, one of them gets back, or it is there. */
void limits(void)
{
	enum { ONE = 1ull << 45, OTHER = 1ull << 46 };
	struct rlimit before, after;
	pthread_t other;
	uint64_t sum;
	void *sums;

	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	CHECK(pthread_create(&other, NULL, exchange_limits, (void *)ONE) == 0);
	sum = (uintptr_t)exchange_limits((void *)OTHER);
	CHECK(pthread_join(other, &sums) == 0 && getrlimit(RLIMIT_AS, &after) == 0);
	CHECK(before.rlim_cur + sum + (uintptr_t)sums == after.rlim_cur);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal ends what moves gigabytes without ever waiting; what was moved until then counts. */
void long_transfers(void)
{
	enum { PIECES = 1000, PIECE = 2 << 20 };
	const struct itimerval soon = { { 0, 20000 }, { 0, 20000 } }, off = { 0 };
	struct sigaction act = { .sa_handler = on_alarm };
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
	int sparse = memfd_create("sparse", 0);
	static struct iovec vec[PIECES];
	static char buffer[PIECE];
	struct utsname system;
	ssize_t n;

	for (int i = 0; i < PIECES; i++)
		vec[i] = (struct iovec){ buffer, PIECE };
	CHECK(uname(&system) == 0 && ftruncate(sparse, (off_t)PIECES * PIECE) == 0);
	CHECK(sigaction(SIGALRM, &act, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
	n = readv(zero, vec, PIECES);
	CHECK(n > 0 && n < (ssize_t)PIECES * PIECE);
	/* Linux moves references of pages, which is done before the signal comes. */
	n = sendfile(null, sparse, NULL, (size_t)PIECES * PIECE);
	CHECK(n > 0 && (n < (ssize_t)PIECES * PIECE || !strstr(system.release, "tepui")));
	CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
}
