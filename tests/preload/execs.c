/* SPDX-License-Identifier: MIT */
/*
 * A program that executes another in one thread while a second one moves memory all the time, so
 * that a stop is often under way at that moment. Each of the functions of the exec family, and
 * execve by syscall(2). TAP. The new program must come to life, with its arguments and its
 * environment, and with the signal mask that the thread had.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN  65536UL
#define SELF "/proc/self/exe"

static void *move_all_the_time(void *heap)
{
	for (;;) {
		void *p = mremap(heap, LEN, LEN, MREMAP_MAYMOVE | 4, NULL);

		if (p != MAP_FAILED)
			munmap(p, LEN);
	}
	return NULL;
}

static char *const argv[] = {"execs", "child", NULL}, *const envp[] = {"EXECS=yes", NULL};

static void e_execve(void)
{
	execve(SELF, argv, envp);
}
static void e_execv(void)
{
	execv(SELF, argv);
}
static void e_execvp(void)
{
	execvp(SELF, argv);
}
static void e_execvpe(void)
{
	execvpe(SELF, argv, envp);
}
static void e_execl(void)
{
	execl(SELF, "execs", "child", NULL);
}
static void e_execlp(void)
{
	execlp(SELF, "execs", "child", NULL);
}
static void e_execle(void)
{
	execle(SELF, "execs", "child", NULL, envp);
}
static void e_fexecve(void)
{
	fexecve(open(SELF, O_RDONLY), argv, envp);
}
static void e_syscall(void)
{
	syscall(SYS_execve, SELF, argv, envp);
}
static void e_after_failure(void)
{
	execv("/nowhere", argv);
	execv(SELF, argv);
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{"execve", e_execve},
	{"execv", e_execv},
	{"execvp", e_execvp},
	{"execvpe", e_execvpe},
	{"execl", e_execl},
	{"execlp", e_execlp},
	{"execle", e_execle},
	{"fexecve", e_fexecve},
	{"syscall", e_syscall},
	{"after a failure", e_after_failure},
};

static int child(void)
{
	const char *env = getenv("EXECS");
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	return env && !strcmp(env, "yes") && sigismember(&mask, SIGUSR2) == 1 &&
			       !sigismember(&mask, SIGUSR1)
		       ? 0
		       : 1;
}

static int execute(void (*run)(void), int round)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		char *heap = mmap(
			NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		pthread_t thread;
		sigset_t mask;

		setenv("EXECS", "yes", 1);
		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR2);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		if (pthread_create(&thread, NULL, move_all_the_time, heap))
			_exit(9);
		usleep((useconds_t)(1000 + round * 23));
		run();
		_exit(8);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

int main(int argc, char **args)
{
	const int rounds = argc > 1 ? atoi(args[1]) : 60;
	int failed = 0;

	if (argc > 1 && !strcmp(args[1], "child"))
		return child();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int bad = 0, last = 0;

		for (int round = 0; round < rounds; round++) {
			const int status = execute(ways[i].run, round);

			bad += status != 0;
			last = status ? status : last;
		}
		if (bad)
			printf("# %d of %d, at last with status 0x%x\n", bad, rounds,
				(unsigned int)last);
		printf("%s %zu - %s\n", bad ? "not ok" : "ok", i + 1, ways[i].name);
		failed += bad;
	}
	printf("1..%zu\n", sizeof(ways) / sizeof(ways[0]));
	return failed != 0;
}
