// SPDX-License-Identifier: Apache-2.0
/*
 * Random system calls with random arguments: fuzz SEED COUNT. Children do the calls, since many end the process;
 * prints "fuzz SEED: COUNT calls, N children" at the end. What would only hang or end the whole run is left out.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS_PER_CHILD = 200, CHILD_SECONDS = 2 };

static uint64_t state;

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
		                       SYS_umount2 };

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

static void child(uint64_t seed)
{
	const struct rlimit memory = { 64 << 20, 64 << 20 };
	char *page;

	state = seed;
	setrlimit(RLIMIT_AS, &memory);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page + 4096, 4096, PROT_NONE);
	for (int i = 0; i < 4096 / 8; i++)
		((uint64_t *)page)[i] = random64();
	alarm(CHILD_SECONDS);
	for (int i = 0; i < CALLS_PER_CHILD; i++) {
		long nr = (long)(random64() >> 32) % 460;

		if (!left_out(nr))
			syscall(nr, argument(page), argument(page), argument(page), argument(page),
			        argument(page), argument(page));
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	long count = argc > 2 ? atol(argv[2]) : 10000, done = 0, children = 0;
	int status;

	for (; done < count; done += CALLS_PER_CHILD, children++) {
		pid_t pid = fork();

		if (pid == 0)
			child((seed * 1000003 + (uint64_t)children) * 0x9e3779b97f4a7c15 | 1);
		if (pid > 0)
			while (waitpid(pid, &status, 0) < 0)
				;
	}
	printf("fuzz %llu: %ld calls, %ld children\n", (unsigned long long)seed, done, children);
	return 0;
}
