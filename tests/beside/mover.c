/* SPDX-License-Identifier: MIT */
/*
 * A thread that moves memory in a program that knows nothing of it: preloaded, beside libremap or
 * not. What the program does must be what it does beside the kernel's own moves.
 *
 *   MOVER_REPORT=FILE   counts of all processes, added up: a struct report in a page of zeros
 *   MOVER_PAUSE=N       microseconds between two moves (1000)
 *   MOVER_FORKED=yes    forked children have a thread, too
 *
 * Each process begins its thread when it is loaded, also after an exec. The thread blocks every
 * signal but those that a fault raises, so the program's signals go where they would, and it takes
 * nothing that the program could notice: no descriptor, no name; two mappings for each kind of
 * memory, made once, in one region.
 *
 * The kinds are those that libremap emulates in different ways: one page and many, all of a mapping
 * and its head, with advice, shared. Each move's result and content are checked, the old range's
 * too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define PAGE 4096UL

/* As tests/beside/beside.t reads it. */
struct report {
	_Atomic uint64_t processes, moves, failed, first_errno, wrong;
};

struct kind {
	size_t pages;
	int flags;
	bool advised;
	size_t head; /* pages that move; 0: all */
	char *here, *there;
};

static struct kind kinds[] = {
	{1, MAP_PRIVATE, false, 0, NULL, NULL},
	{16, MAP_PRIVATE, false, 0, NULL, NULL},
	{16, MAP_PRIVATE, true, 0, NULL, NULL},
	{16, MAP_PRIVATE, false, 4, NULL, NULL},
	{4, MAP_SHARED, false, 0, NULL, NULL},
	{64, MAP_SHARED, false, 0, NULL, NULL},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct report *report;
static long pause_us = 1000;

static bool make(struct kind *kind)
{
	const size_t len = kind->pages * PAGE;
	char *area = mmap(NULL, 2 * len + 3 * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		return false;
	kind->here = area + PAGE;
	kind->there = kind->here + len + PAGE;
	if (mmap(kind->here, len, PROT_READ | PROT_WRITE, kind->flags | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) != kind->here)
		return false;
	return !kind->advised ||
	       !(madvise(kind->here, len, MADV_DONTFORK) || madvise(kind->here, len, MADV_RANDOM) ||
		       madvise(kind->here, len, MADV_DONTDUMP));
}

static bool move_to(char *from, char *to, size_t len)
{
	uint64_t none = 0;

	if (mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to)
		return true;
	atomic_compare_exchange_strong(&report->first_errno, &none, (uint64_t)errno);
	atomic_fetch_add(&report->failed, 1);
	return false;
}

static void move(struct kind *kind, uint64_t value)
{
	const size_t len = (kind->head ? kind->head : kind->pages) * PAGE;
	char *from = kind->here, *to = kind->there;

	*(volatile uint64_t *)from = value;
	if (!move_to(from, to, len))
		return;
	atomic_fetch_add(&report->moves, 1);
	if (*(volatile uint64_t *)to != value ||
		*(volatile uint64_t *)from != (kind->flags & MAP_SHARED ? value : 0))
		atomic_fetch_add(&report->wrong, 1);
	if (kind->head) {
		/* nor is the place that it comes back from ever a hole, which others might be given */
		(void)move_to(to, from, len);
		return;
	}
	kind->here = to;
	kind->there = from;
}

static void *keep_moving(void *arg)
{
	const struct timespec pause = {pause_us / 1000000, pause_us % 1000000 * 1000};

	(void)arg;
	for (uint64_t n = 1;; n++) {
		move(&kinds[n % KINDS], n);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/*
 * Of a child, too: where the parent was in the middle of a move it has moved, or not, and advised
 * memory is not there. So it makes its own, and keeps what it has inherited.
 */
static void start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;

	for (size_t i = 0; i < KINDS; i++)
		if (!make(&kinds[i]))
			return;
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!pthread_create(&thread, &attr, keep_moving, NULL))
		atomic_fetch_add(&report->processes, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = secure_getenv("MOVER_REPORT"), *us = secure_getenv("MOVER_PAUSE");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return;
	report = at;
	if (us)
		pause_us = strtol(us, NULL, 10);
	if (secure_getenv("MOVER_FORKED") && pthread_atfork(NULL, NULL, start))
		return;
	start();
}
