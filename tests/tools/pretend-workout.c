/* SPDX-License-Identifier: MIT */
/*
 * pretend-workout.c - a program that asks the server of remap-run --pretend much, and in bad moments
 *
 * Usage: remap-run --no-preload --pretend 5.10 -- pretend-workout threads|killed|orphan|armed|api|speed
 *
 *	threads	four threads, 2000 calls each, under a hail of signals: every answer as 5.10 gives it, no call twice
 *	killed	40 children killed while they ask: the next one is served as before
 *	orphan	a grandchild asks after its parents are gone
 *	armed	EVENT_REMAP: mremap waits for its event while the server is asked by another thread
 *	api	UFFDIO_API, which works once only, under a hail of signals: the server must not do it twice
 *	speed	microseconds a FIXED move, printed
 *
 * Prints "ok" (or the number), or what went wrong; exit 0 or 1.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DONTUNMAP  4
#define NR_THREADS 4
#define NR_ROUNDS  2000

static size_t page;
static volatile sig_atomic_t stop;

__attribute__((noreturn)) static void wrong(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static char *raw_mremap(void *addr, size_t len, unsigned long flags, void *to)
{
	return (char *)syscall(SYS_mremap, addr, len, len, flags, to);
}

static char *map(int flags)
{
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		wrong("mmap");
	return p;
}

/*
 * One of each: refused, refused as FIXED, and moved there and back. The old page must never be
 * moved twice.
 */
static void one_round(char *shared, char *from, char *to, unsigned round)
{
	if (raw_mremap(shared, 2 * page, MREMAP_MAYMOVE | DONTUNMAP, NULL) != MAP_FAILED ||
		errno != EINVAL)
		wrong("DONTUNMAP of shared memory");
	if (raw_mremap(shared, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED | DONTUNMAP, to) !=
			MAP_FAILED ||
		errno != EINVAL)
		wrong("FIXED DONTUNMAP of shared memory");
	memcpy(from, &round, sizeof(round));
	if (raw_mremap(from, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED | DONTUNMAP, to) != to)
		wrong("DONTUNMAP of private memory");
	if (memcmp(to, &round, sizeof(round)) != 0 || *from != 0)
		wrong("content after DONTUNMAP");
	/* Never a plain move: another thread's mapping could land in the hole that it leaves. */
	if (raw_mremap(to, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED | DONTUNMAP, from) != from)
		wrong("move back");
	if (memcmp(from, &round, sizeof(round)) != 0 || *to != 0)
		wrong("content after the move back");
}

static void *rounds(void *unused)
{
	char *shared = map(MAP_SHARED);
	char *from = map(MAP_PRIVATE);
	char *to = map(MAP_PRIVATE);
	unsigned round;

	(void)unused;
	for (round = 1; round <= NR_ROUNDS; round++)
		one_round(shared, from, to, round);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *hail(void *arg)
{
	pthread_t *threads = arg;
	unsigned i;

	for (i = 0; !stop; i++) {
		pthread_kill(threads[i % NR_THREADS], SIGUSR1);
		usleep(50);
	}
	return NULL;
}

static void workout_threads(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t threads[NR_THREADS], hailer;
	unsigned i;

	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, rounds, NULL);
	pthread_create(&hailer, NULL, hail, threads);
	/* The hail ends before a thread can be joined: a joined one is no valid target. */
	sleep(1);
	stop = 1;
	pthread_join(hailer, NULL);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *make_uffds(void *arg)
{
	unsigned *made = arg;
	unsigned i;
	int fd;

	for (i = 0; i < NR_ROUNDS; i++) {
		struct uffdio_api api = {.api = UFFD_API};

		fd = (int)syscall(SYS_userfaultfd, 0);
		if (fd < 0)
			break;
		if (ioctl(fd, UFFDIO_API, &api) < 0)
			wrong("UFFDIO_API");
		close(fd);
		++*made;
	}
	return NULL;
}

static void workout_api(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	unsigned made[NR_THREADS] = {0};
	pthread_t threads[NR_THREADS], hailer;
	unsigned i;

	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, make_uffds, &made[i]);
	pthread_create(&hailer, NULL, hail, threads);
	usleep(300000);
	stop = 1;
	pthread_join(hailer, NULL);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	if (!made[0]) {
		puts("no userfaultfd");
		exit(77);
	}
}

static void workout_killed(void)
{
	unsigned i;
	pid_t child;

	for (i = 0; i < 40; i++) {
		child = fork();
		if (child == 0)
			for (;;)
				rounds(NULL);
		usleep(500 + i * 37);
		kill(child, SIGKILL);
		if (waitpid(child, NULL, 0) != child)
			wrong("waitpid");
	}
	rounds(NULL);
}

static void workout_orphan(void)
{
	pid_t child = fork();

	if (child != 0)
		_exit(waitpid(child, NULL, 0) != child);
	if (fork() != 0)
		_exit(0);
	usleep(300000);
	rounds(NULL);
}

static void *move_armed(void *arg)
{
	char **range = arg;

	if (raw_mremap(range[0], 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, range[1]) != range[1])
		wrong("move of armed memory");
	return NULL;
}

static void workout_armed(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMAP};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *range[2] = {map(MAP_PRIVATE), map(MAP_PRIVATE)};
	int fd = (int)syscall(SYS_userfaultfd, 0);
	struct uffd_msg msg;
	pthread_t mover;

	if (fd < 0) {
		puts("no userfaultfd");
		exit(77);
	}
	reg.range.start = (uintptr_t)range[0];
	reg.range.len = 2 * page;
	if (ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		wrong("userfaultfd");
	pthread_create(&mover, NULL, move_armed, range);
	usleep(100000);
	/* The mover hangs in the kernel, not in the server: others are served. */
	rounds(NULL);
	if (read(fd, &msg, sizeof(msg)) != (ssize_t)sizeof(msg) || msg.event != UFFD_EVENT_REMAP)
		wrong("event");
	pthread_join(mover, NULL);
}

static void workout_speed(void)
{
	char *at[2] = {map(MAP_PRIVATE), map(MAP_PRIVATE)};
	struct timespec start, end;
	unsigned i;

	*at[0] = 'A';
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (i = 0; i < 10000; i++)
		if (raw_mremap(at[i & 1], 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, at[~i & 1]) ==
			MAP_FAILED)
			wrong("move");
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.2f\n", (double)(end.tv_sec - start.tv_sec) * 100.0 +
				 (double)(end.tv_nsec - start.tv_nsec) / 1e7);
	exit(0);
}

static const struct {
	const char *name;
	void (*run)(void);
} workouts[] = {
	{"threads", workout_threads},
	{"killed", workout_killed},
	{"orphan", workout_orphan},
	{"armed", workout_armed},
	{"api", workout_api},
	{"speed", workout_speed},
};

int main(int argc, char **argv)
{
	size_t i;

	page = (size_t)sysconf(_SC_PAGESIZE);
	for (i = 0; argc == 2 && i < sizeof(workouts) / sizeof(workouts[0]); i++) {
		if (strcmp(argv[1], workouts[i].name) != 0)
			continue;
		alarm(60);
		workouts[i].run();
		puts("ok");
		return 0;
	}
	fputs("usage: pretend-workout threads|killed|orphan|armed|api|speed\n", stderr);
	return 2;
}
