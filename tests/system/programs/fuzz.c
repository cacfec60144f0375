// SPDX-License-Identifier: Apache-2.0
/*
 * Random system calls with random arguments: fuzz SEED COUNT </dev/null. Children do the calls,
 * since many end the process; a timer ends the sleep of a call that waits for ever, and a child
 * that has blocked it is killed once it makes no progress. Prints "fuzz SEED: CALLS calls, N
 * children" at the end; calls made are counted, not those planned. What would only hang or end the
 * whole run is left out.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS_PER_CHILD = 200, TICK_US = 5000, PATIENCE_NS = 100 * 1000 * 1000 };

static uint64_t state;
static volatile long *made; /* calls, by all children; shared */

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int left_out(long nr)
{
	static const short calls[] = { SYS_reboot,
		                       SYS_kill,
		                       SYS_tkill,
		                       SYS_tgkill,
		                       SYS_rt_sigqueueinfo,
		                       SYS_rt_tgsigqueueinfo,
		                       SYS_pause,
		                       SYS_rt_sigsuspend,
		                       SYS_setsid,
		                       SYS_sethostname,
		                       SYS_clock_settime,
		                       SYS_alarm,
		                       SYS_setitimer,
		                       SYS_fork,
		                       SYS_vfork,
		                       SYS_clone,
		                       SYS_clone3,
		                       SYS_exit,
		                       SYS_exit_group,
		                       SYS_chroot,
		                       SYS_unlink,
		                       SYS_unlinkat,
		                       SYS_rename,
		                       SYS_rmdir,
		                       SYS_mount,
		                       SYS_umount2,
		                       SYS_pidfd_send_signal };

	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == nr)
			return 1;
	return 0;
}

/* Values that handlers check for: pointers good and bad, descriptors, sizes, signs. */
static uint64_t argument(char *page)
{
	uint64_t r = random64();

	switch (r >> 8 & 15) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return r >> 60;
	case 3: return (uintptr_t)page + (r >> 52);
	case 4: return 0xffff800000000000ull + (r >> 30);
	case 5: return 0x7ffffffff000ull - (r >> 62);
	case 6: return 1ull << (r >> 58);
	case 7: return (uint64_t) - (int64_t)(r >> 56);
	case 8: return (uintptr_t)&state & ~0xfffull;
	case 9: return r;
	case 10: return r >> 32;
	case 11: return 4096 * (r >> 58);
	default: return r >> 59;
	}
}

static void tick(int sig)
{
	(void)sig;
}

static void child(uint64_t seed)
{
	const struct rlimit memory = { 64 << 20, 64 << 20 };
	const struct itimerval every = { { 0, TICK_US }, { 0, TICK_US } };
	struct sigaction on_tick = { .sa_handler = tick }; /* without SA_RESTART */
	char *page;

	state = seed;
	setrlimit(RLIMIT_AS, &memory);
	/* Writes at random offsets would make the result's file exabytes long. */
	dup2(STDIN_FILENO, STDOUT_FILENO);
	dup2(STDIN_FILENO, STDERR_FILENO);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page + 4096, 4096, PROT_NONE);
	for (int i = 0; i < 4096 / 8; i++)
		((uint64_t *)page)[i] = random64();
	sigaction(SIGALRM, &on_tick, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < CALLS_PER_CHILD; i++) {
		long nr = (long)(random64() >> 32) % 460;

		/* What rt_sigreturn takes for a frame here nearly always ends the process. */
		if (left_out(nr) || (nr == SYS_rt_sigreturn && random64() >> 60))
			continue;
		++*made;
		syscall(nr, argument(page), argument(page), argument(page), argument(page),
		        argument(page), argument(page));
	}
	_exit(0);
}

/* Waits for the child's end, and brings it about when the child has come no further for a while. */
static void supervise(pid_t pid, const sigset_t *ends)
{
	const struct timespec patience = { 0, PATIENCE_NS };
	long before = -1;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (*made == before)
			kill(pid, SIGKILL);
		before = *made;
		sigtimedwait(ends, NULL, &patience);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	long count = argc > 2 ? atol(argv[2]) : 10000, children = 0;
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED)
		return 1;
	for (; *made < count; children++) {
		pid_t pid = fork();

		if (pid == 0)
			child((seed * 1000003 + (uint64_t)children) * 0x9e3779b97f4a7c15 | 1);
		if (pid > 0)
			supervise(pid, &ends);
	}
	printf("fuzz %llu: %ld calls, %ld children\n", (unsigned long long)seed, *made, children);
	return 0;
}
