/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers that call mremap, while the main thread moves another range.
 *
 * A handler comes upon its thread wherever that is: asleep, inside malloc, in the middle of an
 * mremap of its own, on its way out of one of our stops. It moves the thread's first shuttle, and
 * must leave errno and the interrupted call alone. Half of the handlers run on an alternate stack.
 *
 * A scene of its own has signals for the process as a whole and threads that wait: one wait for
 * each signal may end. Not epoll_wait: it says EINTR if it was woken for a signal that another
 * thread then took. That can happen natively, and does so more often where threads leave stops
 * (remap(7), LIMITS).
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGES	4
#define WORKERS 3 /* for each --threads */

static struct shuttle own;
static _Thread_local struct shuttle of_handler;
static _Thread_local volatile sig_atomic_t ready;
static pthread_t workers[MAX_THREADS];
static unsigned int nworkers;
static atomic_ulong handled, moved;
static atomic_uint turns[MAX_THREADS]; /* pieces of work that each worker has done by itself */

static void on_signal(int sig)
{
	const int saved = errno;

	(void)sig;
	if (ready && shuttle_move(&of_handler))
		atomic_fetch_add(&handled, 1);
	errno = saved;
}

/* The thread does something, and errno is its own all the while. */
static void work(struct shuttle *shuttle, unsigned int how)
{
	struct timespec nap = {0, 100000};
	void *p;

	switch (how % 4) {
	case 0:
		if (shuttle_move(shuttle))
			atomic_fetch_add(&moved, 1);
		break;
	case 1:
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
		break;
	case 2:
		p = malloc(1000 + how % 100000);
		if (p)
			memset(p, 1, 1000);
		free(p);
		break;
	case 3:
		errno = 4711;
		for (volatile int i = 0; i < 2000; i++)
			;
		if (errno != 4711)
			fail("errno has changed", errno);
		break;
	}
}

static void *run_worker(void *arg)
{
	stack_t stack = {.ss_size = 65536, .ss_sp = malloc(65536)};
	struct shuttle shuttle;
	unsigned int how = 0;

	if (!stack.ss_sp ||
		!shuttle_make(&of_handler, opt.kind, PAGES, 0xaa0000 + (uintptr_t)arg * 0x100) ||
		!shuttle_make(&shuttle, opt.kind, PAGES, 0xbb0000 + (uintptr_t)arg * 0x100))
		return NULL;
	if ((uintptr_t)arg % 2)
		sigaltstack(&stack, NULL);
	ready = 1;
	while (!atomic_load(&stop_all)) {
		work(&shuttle, how++);
		atomic_fetch_add(&turns[(uintptr_t)arg], 1);
	}
	ready = 0;
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	return NULL;
}

/*
 * No worker gets its next signal before it has done something by itself: where handlers take longer
 * than the gap it would never come to, natively as well.
 */
static void *run_alarmer(void *arg)
{
	static unsigned int seen[MAX_THREADS];

	(void)arg;
	for (unsigned int i = 0; !atomic_load(&stop_all); i++) {
		const unsigned int to = i % nworkers, done = atomic_load(&turns[to]);
		struct timespec gap = {0, 100000};

		if (done != seen[to])
			pthread_kill(workers[to], i % 7 ? SIGUSR1 : SIGUSR2);
		seen[to] = done;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &gap, NULL);
	}
	return NULL;
}

static int begin(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};

	if (!shuttle_make(&own, opt.kind, opt.pages, 0x5160000))
		return 1;
	/* Each keeps the other one out: a shuttle is moved by one handler at a time. */
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	while (nworkers < WORKERS * opt.threads) {
		workers[nworkers] = start_thread(run_worker, nworkers);
		nworkers++;
	}
	start_thread(run_alarmer, 0);
	return 0;
}

static bool move(unsigned long nth)
{
	(void)nth;
	return shuttle_move(&own);
}

static bool end(char *what, size_t size)
{
	snprintf(what, size, "%lu moves by handlers, %lu by the threads that they interrupted",
		atomic_load(&handled), atomic_load(&moved));
	return true;
}

static unsigned long least(void)
{
	return smaller(atomic_load(&handled), atomic_load(&moved));
}

/*
 * Signals for the process as a whole: the kernel gives each to one thread that does not block it,
 * and the waits of the others go on.
 */
static atomic_ulong received;

static void on_process_signal(int sig)
{
	(void)sig;
	handlers_run++;
	atomic_fetch_add(&received, 1);
}

static void *run_killer(void *arg)
{
	struct timespec gap = {0, 300000};

	(void)arg;
	while (!atomic_load(&stop_all)) {
		kill(getpid(), SIGUSR1);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &gap, NULL);
	}
	return NULL;
}

static int begin_signals(void)
{
	struct sigaction action = {.sa_handler = on_process_signal, .sa_flags = SA_RESTART};

	if (!shuttle_make(&own, opt.kind, opt.pages, 0x5161000))
		return 1;
	sigaction(SIGUSR1, &action, NULL);
	for (unsigned int i = 0; i < SLEEPERS; i++)
		if (i != EPOLL_SLEEPER)
			start_thread(run_sleeper, i);
	start_thread(run_killer, 0);
	return 0;
}

static unsigned long least_signals(void)
{
	return atomic_load(&received);
}

static bool end_signals(char *what, size_t size)
{
	snprintf(what, size, "%lu signals for the process", atomic_load(&received));
	return true;
}

const struct scene signals_scene = {"signals", begin_signals, move, least_signals, end_signals};
const struct scene handlers_scene = {"handlers", begin, move, least, end};
