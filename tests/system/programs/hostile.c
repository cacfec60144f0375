// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that a kernel must survive: hostile sigframe (bad frames for rt_sigreturn), fork (a fork
 * bomb), memory (a memory bomb), lives N (so many process lives), elf N (so many corrupted copies
 * of itself are run), messages N (so many processes fill sockets with messages of one byte, and
 * stay until a signal comes), tables (one page mapped in each 2 MiB). Each prints "hostile NAME:
 * ..." when it is over.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static int variant;

/* Spoils what the kernel will take its registers from. */
static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;

	(void)sig, (void)info;
	switch (variant) {
	case 0: uc->uc_mcontext.gregs[REG_RIP] = (greg_t)0x8000000000000000; break;
	case 1: uc->uc_mcontext.gregs[REG_RIP] = (greg_t)0xffffffff80000000; break;
	case 2: uc->uc_mcontext.gregs[REG_RSP] = (greg_t)0x8000000000000000; break;
	case 3: uc->uc_mcontext.fpregs = (void *)0xffff800000000000; break;
	case 4: memset(fp + 512, 0xff, 64); break; /* XSAVE header */
	case 5: memset(fp + 24, 0xff, 4); break;   /* MXCSR: reserved bits are dropped, not fatal */
	case 6: uc->uc_mcontext.gregs[REG_EFL] = -1; break;
	case 7: uc->uc_mcontext.gregs[REG_CSGSFS] = 0; break;
	case 8: memset(fp + 464, 0xff, 48); break; /* sizes */
	default: break;
	}
}

static int run_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void raise_it(void)
{
	struct sigaction a = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	sigaction(SIGUSR1, &a, NULL);
	raise(SIGUSR1);
}

static void sigframe(void)
{
	printf("hostile sigframe:");
	for (variant = 0; variant < 9; variant++)
		printf(" %d", run_child(raise_it));
	printf("\n");
}

static void fork_bomb(void)
{
	long made = 0;

	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0)
			break;
		made++;
	}
	printf("hostile fork: %s after %s\n", strerror(errno), made > 100 ? "many" : "few");
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

static void memory_bomb(void)
{
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p != MAP_FAILED)
			memset(p, 1, 1 << 20);
	}
}

static void nothing(void) {}

static const char copy_path[] = "/tmp/corrupted";
enum { HEADERS = 1024, COPY_MAX = 4 << 20, PATIENCE_US = 300000 };

static void run_copy(void)
{
	const struct itimerval end = { .it_value = { 0, PATIENCE_US } };

	setitimer(ITIMER_REAL, &end, NULL); /* goes on over execve: what loops is ended */
	execl(copy_path, copy_path, (char *)NULL);
	_exit(1);
}

/* Copies whose ELF and program headers have up to eight wrong bytes, mostly extremes. */
static void corrupted(long count)
{
	static uint8_t image[COPY_MAX];
	static const uint8_t extremes[] = { 0, 1, 0x7f, 0x80, 0xff };
	int in = open("/proc/self/exe", O_RDONLY), out;
	ssize_t size = read(in, image, sizeof(image));
	uint8_t spoilt[HEADERS];

	srand(1);
	for (long i = 0; i < count; i++) {
		out = open(copy_path, O_CREAT | O_RDWR, 0755);
		memcpy(spoilt, image, HEADERS);
		for (int n = 1 + rand() % 8; n > 0; n--)
			spoilt[rand() % HEADERS >> rand() % 5] = rand() % 2 ? extremes[rand() % 5]
			                                                    : rand();
		if (i == 0 && write(out, image, size) != size)
			exit(1);
		if (pwrite(out, spoilt, HEADERS, 0) != HEADERS)
			exit(1);
		close(out); /* a file that is open for writing is not run */
		run_child(run_copy);
	}
	printf("hostile elf: %ld tried\n", count);
}

/*
 * Messages of one byte into a socket pair after the other until no further one can be had: sends a
 * pair's ends through an earlier one, so that the number of descriptors is no bound.
 */
static void fill_sockets(long *sent)
{
	int carrier[2] = { -1, -1 };

	for (;;) {
		int s[2];
		struct msghdr m = { 0 };
		union {
			char space[CMSG_SPACE(sizeof(s))];
			struct cmsghdr head;
		} control = { .head = { CMSG_LEN(sizeof(s)), SOL_SOCKET, SCM_RIGHTS } };
		char byte = 'x';
		struct iovec iov = { &byte, 1 };

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s))
			return;
		while (send(s[0], &byte, 1, MSG_NOSIGNAL) == 1)
			++*sent;
		if (errno != EAGAIN)
			return;
		memcpy(CMSG_DATA(&control.head), s, sizeof(s));
		m.msg_iov = &iov;
		m.msg_iovlen = 1;
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		if (carrier[0] >= 0 && sendmsg(carrier[0], &m, MSG_NOSIGNAL) == 1) {
			close(s[0]);
			close(s[1]);
		} else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, carrier)) {
			return;
		}
	}
}

static void messages(long processes)
{
	FILE *in;
	int status[2];
	char line[256];
	long sent = 0;

	/* The first byte makes the pipe's buffer, which those who are full could not. */
	if (pipe(status) || write(status[1], "\n", 1) != 1)
		exit(1);
	for (long i = 0; i < processes; i++) {
		if (fork() == 0) {
			fill_sockets(&sent);
			dprintf(status[1], "hostile messages: %ld sent, then: %s\n", sent,
			        strerror(errno));
			pause();
			_exit(0);
		}
	}
	in = fdopen(status[0], "r");
	for (long i = 0; i < processes + 1 && fgets(line, sizeof(line), in); i++)
		printf("%s", line);
	printf("hostile messages: full\n");
	pause();
}

static volatile long *mapped; /* in the page that is mapped again and again */

static void map_everywhere(void)
{
	int fd = memfd_create("page", 0);
	uintptr_t at = 1ull << 33;

	if (fd < 0 || ftruncate(fd, 4096))
		exit(1);
	for (;; at += 2 << 20) {
		volatile char *p = mmap((void *)at, 4096, PROT_READ | PROT_WRITE,
		                        MAP_SHARED | MAP_FIXED, fd, 0);

		if (p == MAP_FAILED)
			exit(2);
		*p = 1;
		++*mapped;
	}
}

/* One page of memory, and a page of page tables for each place where it is mapped. */
static void tables(void)
{
	int status;

	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	status = run_child(map_everywhere);
	printf("hostile tables: %ld, ended with %d\n", *mapped, status);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "sigframe")) {
		sigframe();
	} else if (!strcmp(what, "fork")) {
		setpgid(0, 0);
		fork_bomb();
	} else if (!strcmp(what, "memory")) {
		printf("hostile memory: ended with %d\n", run_child(memory_bomb));
	} else if (!strcmp(what, "lives")) {
		for (long i = 0; i < atol(argv[2]); i++)
			run_child(nothing);
		printf("hostile lives: over\n");
	} else if (!strcmp(what, "tables")) {
		tables();
	} else if (!strcmp(what, "messages")) {
		messages(atol(argv[2]));
	} else if (!strcmp(what, "elf")) {
		corrupted(atol(argv[2]));
	}
	return 0;
}
