// SPDX-License-Identifier: Apache-2.0
/*
 * Files, terminals and sockets as several processes use them: files CASE ends with 0 when the case
 * holds. Every case also holds on Linux, where the test runs it first.
 */
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

/*
 * A file travels to another process, which reads through it at the shared position; one that has no
 * reader is closed.
 */
static void rights(void)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
		             .cmsg_level = SOL_SOCKET,
		             .cmsg_type = SCM_RIGHTS } };
	char byte = 'x', text[8] = "";
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io,
		            .msg_iovlen = 1,
		            .msg_control = &control,
		            .msg_controllen = sizeof(control) };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(a);
	int pair[2], ends[2], fd = memfd_create("passed", MFD_CLOEXEC);
	pid_t child;

	CHECK(fd >= 0 && write(fd, "abcdef", 6) == 6 && lseek(fd, 2, SEEK_SET) == 2);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	child = fork();
	if (child == 0) {
		int got;

		close(fd);
		CHECK(recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) == 1);
		memcpy(&got, CMSG_DATA(&control.h), sizeof(got));
		CHECK(read(got, text, sizeof(text)) == 4 && memcmp(text, "cdef", 4) == 0);
		CHECK(fcntl(got, F_GETFD) == FD_CLOEXEC);
		exit(0);
	}
	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	CHECK(sendmsg(pair[0], &m, 0) == 1);
	reap(child);
	CHECK(lseek(fd, 0, SEEK_CUR) == 6);
	CHECK(pipe(ends) == 0 && (fd = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	CHECK(bind(fd, (void *)&a, len) == 0 && getsockname(fd, (void *)&a, &len) == 0);
	memcpy(CMSG_DATA(&control.h), &ends[1], sizeof(ends[1]));
	CHECK(connect(fd, (void *)&a, len) == 0 && sendmsg(fd, &m, 0) == 1);
	io.iov_len = 0;
	CHECK(sendmsg(pair[0], &m, 0) == 0);
	close(ends[1]);
	CHECK(read(ends[0], text, 1) == 0);
}

/* A named socket: credentials of the peer, an end that is seen, a name that stays behind. */
static void named_socket(void)
{
	struct sockaddr_un a = { AF_UNIX, "/tmp/files.sock" };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char text[16] = "";
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
	pid_t child;

	unlink(a.sun_path);
	CHECK(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 4) == 0);
	/* Each refused message must leave the listener's references as they were. */
	for (int i = 0; i < 100; i++)
		CHECK(sendto(datagram, "x", 1, 0, (void *)&a, sizeof(a)) == -1 &&
		      errno == EPROTOTYPE);
	child = fork();
	if (child == 0) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);

		CHECK(connect(s, (void *)&a, sizeof(a)) == 0);
		CHECK(write(s, "hello", 5) == 5);
		CHECK(read(s, text, sizeof(text)) == 2);
		exit(0);
	}
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(peer >= 0 && getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0);
	CHECK(cred.pid == child && cred.uid == getuid());
	CHECK(read(peer, text, sizeof(text)) == 5 && write(peer, "ok", 2) == 2);
	CHECK(if_nametoindex("lo") == 1); /* libc asks a socket of AF_UNIX */
	reap(child);
	CHECK(read(peer, text, 1) == 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(peer, "x", 1) < 0 && errno == EPIPE);
	close(listener);
	CHECK(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof(a)) < 0 &&
	      errno == ECONNREFUSED);
	CHECK(unlink(a.sun_path) == 0);
}

/*
 * What is written shows in mappings and the other way round, also across fork; truncation takes
 * pages away.
 */
static void mappings(void)
{
	char *shared, *own, byte;
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	pid_t child;

	CHECK(fd >= 0 && ftruncate(fd, 3 * 4096) == 0);
	shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	own = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(shared != MAP_FAILED && own != MAP_FAILED);
	CHECK(pwrite(fd, "F", 1, 4096) == 1 && shared[4096] == 'F' && own[4096] == 'F');
	own[4096] = 'P';
	child = fork();
	if (child == 0) {
		shared[0] = 'S';
		own[1] = 'Q';
		exit(own[4096] == 'P' ? 0 : 1);
	}
	reap(child);
	CHECK(shared[0] == 'S' && own[1] == 0);
	CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'S');
	CHECK(pread(fd, &byte, 1, 4096) == 1 && byte == 'F');
	CHECK(ftruncate(fd, 4096) == 0);
	child = fork();
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		_exit(shared[4096]);
	}
	int status;

	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
	      WTERMSIG(status) == SIGBUS);
}

static volatile sig_atomic_t last;
static void note(int sig)
{
	last = sig;
}

/* A session on a pty: its keys are signals, its size is told, its end is heard. */
static void terminal(void)
{
	struct winsize size = { .ws_row = 33, .ws_col = 99 }, seen;
	int master, tick[2];
	char text[256], c;
	pid_t child;

	CHECK(pipe(tick) == 0);
	child = forkpty(&master, text, NULL, &size);
	CHECK(child >= 0);
	if (child == 0) {
		struct sigaction act = { .sa_handler = note };

		sigaction(SIGINT, &act, NULL);
		sigaction(SIGWINCH, &act, NULL);
		sigaction(SIGHUP, &act, NULL);
		CHECK(ioctl(0, TIOCGWINSZ, &seen) == 0 && seen.ws_col == 99);
		CHECK(tcgetpgrp(0) == getpid() && tcgetsid(0) == getpid());
		CHECK(open("/dev/tty", O_RDWR) >= 0);
		for (unsigned i = 0; i < 3; i++) {
			const int expected[] = { SIGINT, SIGWINCH, SIGHUP };
			sigset_t none;

			sigset_t all;

			sigemptyset(&none);
			sigfillset(&all);
			sigprocmask(SIG_SETMASK, &all, NULL);
			last = 0;
			CHECK(write(tick[1], "t", 1) == 1);
			sigsuspend(&none);
			if (last != expected[i])
				_exit(10 + (int)i);
		}
		_exit(0);
	}
	CHECK(read(tick[0], &c, 1) == 1 && write(master, "\003", 1) == 1);
	CHECK(read(tick[0], &c, 1) == 1);
	size.ws_row = 10;
	CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
	CHECK(read(tick[0], &c, 1) == 1);
	close(master);
	reap(child);
}

/* A reader in the background is stopped, and goes on in the foreground. */
static void background(void)
{
	int master, status;
	char text[64], c;
	pid_t leader = forkpty(&master, text, NULL, NULL);

	CHECK(leader >= 0);
	if (leader == 0) {
		pid_t child;

		signal(SIGTTOU, SIG_IGN);
		child = fork();
		if (child == 0) {
			setpgid(0, 0);
			_exit(read(0, &c, 1) == 1 && c == 'k' ? 0 : 1);
		}
		setpgid(child, child);
		if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status) ||
		    WSTOPSIG(status) != SIGTTIN)
			_exit(2);
		tcsetpgrp(0, child);
		kill(-child, SIGCONT);
		CHECK(write(1, "go", 2) == 2);
		_exit(waitpid(child, &status, 0) == child && status == 0 ? 0 : 3);
	}
	CHECK(read(master, text, 2) == 2 && memcmp(text, "go", 2) == 0);
	CHECK(write(master, "k\n", 2) == 2);
	reap(leader);
}

/* Everything that becomes ready by itself or by another process, through one epoll set. */
static void readiness(void)
{
	struct itimerspec soon = { .it_value = { .tv_nsec = 20000000 } };
	struct epoll_event ev = { .events = EPOLLIN }, got;
	int ep = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0),
	    event = eventfd(0, 0), sig, pipes[2];
	unsigned seen = 0;
	sigset_t usr1;
	pid_t child;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	sig = signalfd(-1, &usr1, 0);
	CHECK(pipe(pipes) == 0 && timerfd_settime(timer, 0, &soon, NULL) == 0);
	const int fds[] = { timer, event, sig, pipes[0] };

	for (unsigned i = 0; i < 4; i++) {
		ev.data.u32 = i;
		CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) == 0);
	}
	child = fork();
	if (child == 0) {
		unsigned long long one = 1;

		CHECK(write(event, &one, 8) == 8 && write(pipes[1], "x", 1) == 1);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	while (seen != 15) {
		char buf[128];

		CHECK(epoll_wait(ep, &got, 1, 10000) == 1);
		seen |= 1u << got.data.u32;
		CHECK(read(fds[got.data.u32], buf, sizeof(buf)) > 0);
	}
	reap(child);
	CHECK(epoll_wait(ep, &got, 1, 0) == 0);
}

/* flock and record locks make processes wait; a lock ends with its holder. */
static void locks(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_start = 10, .l_len = 5 };
	int fd = open("/tmp/files.lock", O_RDWR | O_CREAT, 0600), ready[2];
	char c;
	pid_t child;

	CHECK(fd >= 0 && pipe(ready) == 0);
	child = fork();
	if (child == 0) {
		int own = open("/tmp/files.lock", O_RDWR);

		CHECK(flock(own, LOCK_EX) == 0 && fcntl(own, F_SETLK, &l) == 0);
		CHECK(write(ready[1], "r", 1) == 1);
		poll(NULL, 0, 100);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	l.l_start = 14;
	CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_pid == child && l.l_start == 10 && l.l_len == 5);
	l = (struct flock){ .l_type = F_RDLCK, .l_start = 0, .l_len = 10 };
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	l.l_start = 12;
	CHECK(fcntl(fd, F_SETLKW, &l) == 0 && flock(fd, LOCK_EX) == 0);
	reap(child);
	CHECK(unlink("/tmp/files.lock") == 0);
}

/* A FIFO between processes; its opens wait for each other. A pipe's do not. */
static void fifo(void)
{
	char text[8];
	int fd, ends[2];
	pid_t child;

	unlink("/tmp/files.fifo");
	CHECK(mkfifo("/tmp/files.fifo", 0600) == 0);
	child = fork();
	if (child == 0) {
		fd = open("/tmp/files.fifo", O_WRONLY);
		_exit(write(fd, "through", 7) == 7 ? 0 : 1);
	}
	fd = open("/tmp/files.fifo", O_RDONLY);
	CHECK(read(fd, text, sizeof(text)) == 7 && read(fd, text, sizeof(text)) == 0);
	reap(child);
	CHECK(unlink("/tmp/files.fifo") == 0);
	CHECK(pipe(ends) == 0 && write(ends[1], "kept", 4) == 4 && close(ends[1]) == 0);
	CHECK(dup2(ends[0], 0) == 0 && open("/dev/stdin", O_RDONLY) >= 0);
}

/* /proc tells of this process what is true. */
static void proc(void)
{
	char path[64], text[256], expected[64];
	int fd = open("/tmp/files.proc", O_RDWR | O_CREAT, 0600);
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, text, sizeof(text));
	CHECK(n == 15 && memcmp(text, "/tmp/files.proc", 15) == 0);
	CHECK(rename("/tmp/files.proc", "/tmp/files.renamed") == 0);
	CHECK(readlink(path, text, sizeof(text)) == 18);
	CHECK(unlink("/tmp/files.renamed") == 0);
	n = readlink(path, text, sizeof(text));
	CHECK(n == 28 && memcmp(text + 18, " (deleted)", 10) == 0);
	CHECK(write(fd, "kept", 4) == 4);
	CHECK(open(path, O_RDONLY) >= 0); /* leads to the file itself, which has no name any more */
	CHECK(chdir("/proc/self") == 0 && readlink("exe", text, sizeof(text)) > 0);
	fd = open("stat", O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = 0;
	snprintf(expected, sizeof(expected), "%d (files) R %d ", getpid(), getppid());
	CHECK(strncmp(text, expected, strlen(expected)) == 0);
}

enum { CLOSES = 20000 };
static int closing = -1;

static void *close_too(void *arg)
{
	for (unsigned i = 0; i < CLOSES; i++) {
		int fd;

		while ((fd = __atomic_load_n(&closing, __ATOMIC_ACQUIRE)) < 0)
			;
		close(fd);
		__atomic_store_n(&closing, -1, __ATOMIC_RELEASE);
	}
	return arg;
}

/* Both ends go at the same time: who is not the last must not touch the pipe any more. */
static void closers(void)
{
	pthread_t other;
	int ends[2];

	CHECK(pthread_create(&other, NULL, close_too, NULL) == 0);
	for (unsigned i = 0; i < CLOSES; i++) {
		CHECK(pipe(ends) == 0);
		__atomic_store_n(&closing, ends[i % 2], __ATOMIC_RELEASE);
		CHECK(close(ends[(i + 1) % 2]) == 0);
		while (__atomic_load_n(&closing, __ATOMIC_ACQUIRE) >= 0)
			;
	}
	CHECK(pthread_join(other, NULL) == 0);
}

/* splice moves only what is there and fits; what the other side refuses stays in the pipe. */
static void splices(void)
{
	int ends[2], full[2], fd = open("/tmp/files.splice", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char block[4096] = "", text[16];
	loff_t at = 2;
	ssize_t n;

	CHECK(pipe(ends) == 0 && pipe2(full, O_NONBLOCK) == 0);
	CHECK(write(fd, "abcdefgh", 8) == 8);
	CHECK(splice(fd, &at, ends[1], NULL, 4, 0) == 4 && at == 6);
	CHECK(splice(fd, &at, ends[1], &at, 4, 0) == -1 && errno == ESPIPE);
	CHECK(splice(fd, NULL, fd, NULL, 4, 0) == -1 && errno == EINVAL);
	CHECK(splice(ends[0], NULL, ends[1], NULL, 4, 0) == -1 && errno == EINVAL);
	while (write(full[1], block, sizeof(block)) > 0)
		;
	CHECK(errno == EAGAIN);
	CHECK(splice(ends[0], NULL, full[1], NULL, 4, 0) == -1 && errno == EAGAIN);
	CHECK(splice(ends[0], NULL, open("/dev/full", O_WRONLY), NULL, 4, 0) == -1);
	at = 0;
	CHECK(splice(ends[0], NULL, fd, &at, 3, 0) == 3 && at == 3);
	CHECK(pread(fd, text, sizeof(text), 0) == 8 && memcmp(text, "cdedefgh", 8) == 0);
	CHECK(read(ends[0], text, sizeof(text)) == 1 && text[0] == 'f');
	CHECK(splice(ends[0], NULL, fd, NULL, 4, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
	CHECK(ftruncate(fd, 1 << 20) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	n = splice(fd, NULL, ends[1], NULL, 1 << 20, 0); /* nobody reads: it ends all the same */
	CHECK(n > 0 && lseek(fd, 0, SEEK_CUR) == n);
	close(ends[0]);
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	CHECK(splice(fd, NULL, ends[1], NULL, 1, 0) == -1 && errno == EPIPE);
	CHECK(unlink("/tmp/files.splice") == 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} cases[] = { { "rights", rights },
		      { "named_socket", named_socket },
		      { "mappings", mappings },
		      { "terminal", terminal },
		      { "background", background },
		      { "readiness", readiness },
		      { "locks", locks },
		      { "fifo", fifo },
		      { "proc", proc },
		      { "closers", closers },
		      { "splices", splices },
		      { "pidfd", pidfd },
		      { "watcher_gone", watcher_gone },
		      { "limits", limits },
		      { "long_transfers", long_transfers } };

	setvbuf(stdout, NULL, _IONBF, 0);
	alarm(60);
	for (unsigned i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].fn();
			return 0;
		}
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		puts(cases[i].name);
	return argc == 1 ? 0 : 2;
}
