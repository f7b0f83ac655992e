/*
 * SPDX-License-Identifier: MIT * With --touch there are no callers and no deaf ones, and mappers
 * give no hint: what is left does not depend on the threads being stopped (quiesce:guard).
 */
/*
 * The crowd: many moves of one heap while other threads do everything to it that a program may do.
 *
 * The main thread takes the heap away by MREMAP_DONTUNMAP again and again, counts what was in the
 * pages that came with it, and drops them. Meanwhile:
 *
 *   adders    increment their own counter in the heap, atomically. At the end every increment must
 *             have been seen by the mover exactly once: a lost page or a lost write shows as a
 *             wrong sum.
 *   callers   pass heap memory to write(2) and read(2): EFAULT is a failure, and so is a short or
 *             wrong read
 *   mappers   map and unmap other memory all the time and look after what is in it: a move must not
 *             damage it
 *   newborns  threads that are created, touch the heap, and exit; some give birth themselves first
 *   deaf      adders that block every signal that libc lets them block
 *   raw deaf  with --raw-deaf: adders that block every signal by the raw system call, as Go's
 *             runtime can
 *   sleepers  wait, and are not to be disturbed (sleepers.c)
 *   alarmed   adders that a handler of ours interrupts at a high rate; the handler touches the heap
 *
 * Two more scenes with the same books: births, where most threads live for one increment; and
 * safepoint, where the program stops its threads itself, by a lock, as a collector does: that is
 * what LIBREMAP_CONF=quiesce:caller asks for.
 */
#include "tests/stress/stress.h"

#ifndef __GLIBC__ /* musl's prefer nobody */
#define PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP PTHREAD_RWLOCK_INITIALIZER
#endif

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_ADDERS 96

static unsigned char *heap, *target;
static unsigned int nadders;
static _Atomic uint64_t added[MAX_ADDERS]; /* what each adder has done */
static uint64_t seen[MAX_ADDERS];	   /* what the mover has found in pages that it took away */

/* Each adder has its own counter in a page of its own, as far as there are pages. */
static _Atomic uint64_t *counter(unsigned int adder)
{
	size_t page = (adder * 7) % opt.pages;

	return (_Atomic uint64_t *)(heap + page * PAGE + 128 + adder * 8);
}

static void add_one(unsigned int adder)
{
	atomic_fetch_add_explicit(counter(adder), 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&added[adder], 1, memory_order_relaxed);
}

static void *run_adder(void *arg)
{
	unsigned int adder = (unsigned int)(uintptr_t)arg;

	while (!atomic_load_explicit(&stop_all, memory_order_relaxed)) {
		for (int i = 0; i < 50; i++)
			add_one(adder);
		if (adder % 2)
			sched_yield();
	}
	return NULL;
}

static void *run_deaf(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	return run_adder(arg);
}

static void *run_raw_deaf(void *arg)
{
	uint64_t all = ~0ull;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	return run_adder(arg);
}

/* write(2) from and read(2) into the heap, through a pipe that nobody else uses. */
static void *run_caller(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	unsigned char *out = heap + (me % opt.pages) * PAGE + 2048;
	unsigned char *in = heap + ((me + 1) % opt.pages) * PAGE + 3072;
	char local[64], back[64];
	int fds[2];

	if (pipe(fds)) {
		fail("pipe", errno);
		return NULL;
	}
	memset(local, 'p', sizeof(local));
	while (!atomic_load(&stop_all)) {
		ssize_t n = write(fds[1], out, 64);

		if (n != 64)
			fail("write(2) from the heap", n < 0 ? errno : n);
		n = read(fds[0], back, 64);
		if (n != 64)
			fail("read(2) after write(2)", n < 0 ? errno : n);
		n = write(fds[1], local, 64);
		if (n != 64)
			fail("write(2) of other memory", n < 0 ? errno : n);
		n = read(fds[0], in, 64);
		if (n != 64)
			fail("read(2) into the heap", n < 0 ? errno : n);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

static void *run_mapper(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg * 2654435761u + 1;

	while (!atomic_load(&stop_all)) {
		unsigned char *map[8];
		size_t len[8];
		unsigned char tag = (unsigned char)(seed >> 8 | 1);

		for (int i = 0; i < 8; i++) {
			/* asking for the heap's own place gets whatever hole there is beside it */
			void *hint = seed & 1 && !opt.touch ? heap + (seed >> 4 & 15) * PAGE : NULL;

			seed = seed * 1103515245u + 12345;
			len[i] = (seed >> 16 & 7) * PAGE + PAGE;
			map[i] = mmap(hint, len[i], PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (map[i] == MAP_FAILED) {
				fail("mmap", errno);
				return NULL;
			}
			if (map[i] < heap + opt.pages * PAGE && map[i] + len[i] > heap)
				fail("mmap was given the heap's place", 0);
			memset(map[i], tag, len[i]);
		}
		for (int i = 0; i < 8; i++) {
			for (size_t at = 0; at < len[i]; at += 512)
				if (map[i][at] != tag) {
					fail("another mapping was damaged", (long)at);
					break;
				}
			munmap(map[i], len[i]);
		}
	}
	return NULL;
}

static pthread_attr_t small, detached;
static atomic_uint alive; /* detached threads */

static void *newborn(void *arg)
{
	add_one((unsigned int)(uintptr_t)arg);
	return NULL;
}

static void *detached_newborn(void *arg)
{
	add_one((unsigned int)(uintptr_t)arg);
	atomic_fetch_sub(&alive, 1);
	return NULL;
}

static bool give_birth(const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int r = pthread_create(&thread, attr, run, arg);

	if (r) {
		fail("pthread_create", r);
		return false;
	}
	if (attr != &detached)
		pthread_join(thread, NULL);
	return true;
}

/* Its own child is born and gone before it ends itself. */
static void *young_mother(void *arg)
{
	add_one((unsigned int)(uintptr_t)arg);
	give_birth(&small, newborn, arg);
	return NULL;
}

static void *run_midwife(void *arg)
{
	while (!atomic_load(&stop_all))
		give_birth(&small, newborn, arg);
	return NULL;
}

static void *run_busy_midwife(void *arg)
{
	while (!atomic_load(&stop_all)) {
		give_birth(&small, young_mother, arg);
		for (int i = 0; i < 4 && atomic_load(&alive) < 16; i++) {
			atomic_fetch_add(&alive, 1);
			if (!give_birth(&detached, detached_newborn, arg))
				atomic_fetch_sub(&alive, 1);
		}
	}
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
	/* the last page's last word belongs to handlers: nobody checks it, it must only be there */
	atomic_fetch_add((_Atomic uint64_t *)(heap + opt.pages * PAGE - 8), 1);
}

static pthread_t alarmed;

static void *run_alarmer(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		struct timespec gap = {0, 300000};

		pthread_kill(alarmed, SIGUSR1);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &gap, &gap);
	}
	return NULL;
}

/* One move, and the books of what came with it. */
static bool move_heap(unsigned long nth)
{
	const size_t len = opt.pages * PAGE;
	unsigned char *new =
		opt.fixed ? mremap(heap, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
				    target)
			  : mremap(heap, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	(void)nth;
	if (new == MAP_FAILED) {
		fail_move("mremap");
		return false;
	}
	for (unsigned int a = 0; opt.kind != KIND_SHARED && a < nadders; a++) {
		_Atomic uint64_t *c = (_Atomic uint64_t *)(new +
							   ((unsigned char *)counter(a) - heap));

		seen[a] += atomic_load(c);
	}
	if (opt.fixed) /* keep the place: the next move lands on it */
		new = mmap(new, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	else
		munmap(new, len);
	return new != MAP_FAILED;
}

static int make_heap(void)
{
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 * 1024);
	pthread_attr_init(&detached);
	pthread_attr_setstacksize(&detached, 128 * 1024);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	heap = map_object(opt.kind, opt.pages * PAGE, 0);
	target = mmap(NULL, opt.pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (heap != MAP_FAILED && target != MAP_FAILED)
		return 0;
	fail("mmap of the heap", errno);
	return 1;
}

static int begin_crowd(void)
{
	if (make_heap())
		return 1;
	signal(SIGUSR1, on_alarm);
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_adder, nadders++);
		if (!opt.touch)
			start_thread(run_deaf, nadders++);
		if (opt.raw_deaf)
			start_thread(run_raw_deaf, nadders++);
		start_thread(run_midwife, nadders++);
		alarmed = start_thread(run_adder, nadders++);
		if (!i)
			start_thread(run_alarmer, 0);
		if (!opt.touch)
			start_thread(run_caller, i);
		start_thread(run_mapper, i + 1);
		start_thread(run_sleeper, i);
		start_thread(run_sleeper, i + 1);
	}
	for (unsigned int i = 0; i < SLEEPERS; i++)
		start_thread(run_sleeper, i);
	return 0;
}

static int begin_births(void)
{
	if (make_heap())
		return 1;
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_busy_midwife, nadders++);
		start_thread(run_busy_midwife, nadders++);
		start_thread(run_adder, nadders++);
	}
	return 0;
}

static bool close_books(char *what, size_t size)
{
	uint64_t total = 0;
	bool right = true;

	while (atomic_load(&alive))
		usleep(1000);
	for (unsigned int a = 0; a < nadders; a++) {
		uint64_t found = seen[a] + atomic_load(counter(a));

		total += atomic_load(&added[a]);
		if (found != atomic_load(&added[a])) {
			right = false;
			fprintf(stderr, "# adder %u: %lu increments, %lu found\n", a,
				(unsigned long)atomic_load(&added[a]), (unsigned long)found);
		}
	}
	snprintf(what, size, "every increment was kept exactly once (%lu)", (unsigned long)total);
	return right && total;
}

/* The program's own world: shared by who uses the heap, exclusive for who moves it. */
static pthread_rwlock_t world = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static void *run_polite_adder(void *arg)
{
	while (!atomic_load(&stop_all)) {
		pthread_rwlock_rdlock(&world);
		for (int i = 0; i < 50; i++)
			add_one((unsigned int)(uintptr_t)arg);
		pthread_rwlock_unlock(&world);
	}
	return NULL;
}

static int begin_safepoint(void)
{
	if (make_heap())
		return 1;
	for (unsigned int i = 0; i < 3 * opt.threads; i++) {
		start_thread(run_polite_adder, nadders++);
		start_thread(run_sleeper, i);
	}
	return 0;
}

static bool move_at_safepoint(unsigned long nth)
{
	bool moved;

	pthread_rwlock_wrlock(&world);
	moved = move_heap(nth);
	pthread_rwlock_unlock(&world);
	return moved;
}

/* On an idle machine all moves may be done before anybody has begun. */
static unsigned long least(void)
{
	uint64_t total = 0;

	for (unsigned int a = 0; a < nadders; a++)
		total += atomic_load(&added[a]);
	return total;
}

const struct scene crowd_scene = {"crowd", begin_crowd, move_heap, least, close_books};
const struct scene births_scene = {"births", begin_births, move_heap, least, close_books};
const struct scene safepoint_scene = {
	"safepoint", begin_safepoint, move_at_safepoint, least, close_books};
