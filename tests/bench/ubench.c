// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel costs a program, in TSC counts, which are instructions under -icount shift=0:
 * ubench. Prints "bench: user.NAME VALUE instructions" a figure, the least of several rounds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 5 };

static void getpid_once(void)
{
	syscall(SYS_getpid);
}

static int to_child[2], from_child[2];

static void round_trip(void)
{
	char c = 0;

	if (write(to_child[1], &c, 1) != 1 || read(from_child[0], &c, 1) != 1)
		exit(1);
}

static pid_t echo_child(void)
{
	pid_t pid;
	char c;

	if (pipe(to_child) || pipe(from_child))
		exit(1);
	pid = fork();
	if (pid)
		return pid;
	close(to_child[1]);
	while (read(to_child[0], &c, 1) == 1)
		if (write(from_child[1], &c, 1) != 1)
			break;
	_exit(0);
}

static void run(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		exit(1);
}

static void spawn_true(void)
{
	static const char *const argv[] = { "/usr/bin/busybox", "true", NULL };

	run(argv);
}

static void python_pass(void)
{
	static const char *const argv[] = { "/usr/bin/python3", "-c", "pass", NULL };

	run(argv);
}

static void measure(const char *name, void (*fn)(void), unsigned repeat)
{
	uint64_t least = ~0ull;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t start = __builtin_ia32_rdtsc(), took;

		for (unsigned i = 0; i < repeat; i++)
			fn();
		took = (__builtin_ia32_rdtsc() - start) / repeat;
		least = took < least ? took : least;
	}
	printf("bench: user.%s %llu instructions\n", name, (unsigned long long)least);
	fflush(stdout);
}

int main(void)
{
	pid_t pid = echo_child();

	measure("getpid", getpid_once, 1000);
	measure("pipe", round_trip, 200);
	close(to_child[1]);
	waitpid(pid, NULL, 0);
	measure("spawn", spawn_true, 10);
	measure("python", python_pass, 1);
	return 0;
}
