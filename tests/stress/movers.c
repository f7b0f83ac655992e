/* SPDX-License-Identifier: MIT */
/*
 * Several threads that move at once.
 *
 *   carriers  each has a shuttle of its own: different ranges
 *   rivals    all move the same range at the same time, each to a place of its own. The moves come
 *             one after the other, whatever the order, so exactly one has the pages and the others
 *             have what was left behind: nothing. In every second round one rival makes a plain
 *             MREMAP_FIXED move of it: if that comes first the range is gone, and the others are
 *             told EFAULT.
 *   swappers  two move A to B and B to A at the same time: one of the two contents is in one place,
 *             the other one is lost, as it must be when a move lands on it
 *   mappers   map and unmap other memory, without an address: it must not come to lie in a range
 *             that moves
 *
 * The main thread is the first carrier. Shared memory: every view shows the pages.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define RIVALS 3
#define PAGES  8
#define LEN    (PAGES * PAGE)
#define RACE_COURSE ((void *)0x200000000000)

static struct shuttle own;
static atomic_ulong carried, races, swaps, mapped;

static void *run_carrier(void *arg)
{
	struct shuttle shuttle;

	if (!shuttle_make(&shuttle, opt.kind, PAGES, 0xca0000 + (uint64_t)(uintptr_t)arg * 0x1000))
		return NULL;
	while (!atomic_load(&stop_all) && shuttle_move(&shuttle))
		atomic_fetch_add(&carried, 1);
	return NULL;
}

/* A range of PAGES pages whose bytes are all of one value. */
static void fill(unsigned char *p, int byte)
{
	memset(p, byte, LEN);
}

/* The value of all of it; -1 if it is not of one value. */
static int value(const unsigned char *p)
{
	for (size_t i = 0; i < LEN; i += 64)
		if (p[i] != p[0])
			return -1;
	return p[0];
}

enum { EMPTY = 'e', PAGES_OF_ROUND = 'r' };

static struct race {
	pthread_barrier_t start, done;
	unsigned char *source;
	bool plain; /* rival 0 makes an ordinary move */
	bool over;
	struct {
		unsigned char *target;
		int error;
	} rivals[RIVALS];
} race;

static void run_for_it(unsigned int me)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED |
			  (race.plain && !me ? 0 : MREMAP_DONTUNMAP);
	unsigned char *p = mremap(race.source, LEN, LEN, flags, race.rivals[me].target);

	race.rivals[me].error = p == MAP_FAILED ? errno : 0;
}

static void *run_rival(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&race.start);
		if (race.over)
			return NULL;
		run_for_it((unsigned int)(uintptr_t)arg);
		pthread_barrier_wait(&race.done);
	}
}

/* One round: lays everything out, lets them run, and looks who has what. */
static bool one_race(int empty)
{
	unsigned int winners = 0, losers = 0, told = 0;
	long detail = 0; /* per rival, in thousands: errno, or 500 and the content */

	/* A plain move leaves a hole: at an address where nobody's mmap looks for one. */
	race.source = map_object(opt.kind, LEN, EMPTY);
	if (race.source == MAP_FAILED ||
		mremap(race.source, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, RACE_COURSE) !=
			RACE_COURSE) {
		fail("laying out a race", errno);
		return false;
	}
	race.source = RACE_COURSE;
	fill(race.source, PAGES_OF_ROUND);
	race.plain = atomic_load(&races) % 2;
	pthread_barrier_wait(&race.start);
	run_for_it(0);
	pthread_barrier_wait(&race.done);
	for (unsigned int i = 0; i < RIVALS; i++) {
		int found = race.rivals[i].error ? -2 : value(race.rivals[i].target);

		winners += found == PAGES_OF_ROUND;
		losers += found == empty;
		told += race.rivals[i].error == EFAULT;
		detail = detail * 1000 + (found == -2 ? race.rivals[i].error : 500 + found);
	}
	if (race.rivals[0].error || winners + losers + told != RIVALS || (told && !race.plain) ||
		(opt.kind == KIND_SHARED ? losers != 0 : winners != 1)) {
		fail(race.plain ? "a race with a plain move" : "a race", detail);
		return false;
	}
	if (!race.plain && opt.kind != KIND_SHARED && value(race.source) != empty)
		fail("the raced range is not empty", value(race.source));
	atomic_fetch_add(&races, 1);
	return true;
}

static void *run_referee(void *arg)
{
	const int empty = opt.kind == KIND_FILE ? EMPTY : 0;
	bool good = true;

	(void)arg;
	while (good && !atomic_load(&stop_all))
		good = one_race(empty);
	race.over = true;
	pthread_barrier_wait(&race.start);
	return NULL;
}

static struct {
	pthread_barrier_t start, done;
	unsigned char *a, *b;
	bool over;
} swap;

static void carry(unsigned char *from, unsigned char *to)
{
	if (mremap(from, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != to)
		fail_move("mremap of a swapper");
}

static void *run_second_swapper(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&swap.start);
		if (swap.over)
			return NULL;
		carry(swap.b, swap.a);
		pthread_barrier_wait(&swap.done);
	}
}

/* Of shared memory, a's object is in both places or b's is; of private, one place is empty. */
static void *run_first_swapper(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		int a, b;

		swap.a = map_object(opt.kind, LEN, EMPTY);
		swap.b = map_object(opt.kind, LEN, EMPTY);
		if (swap.a == MAP_FAILED || swap.b == MAP_FAILED) {
			fail("mmap for a swap", errno);
			break;
		}
		fill(swap.a, 'a');
		fill(swap.b, 'b');
		pthread_barrier_wait(&swap.start);
		carry(swap.a, swap.b);
		pthread_barrier_wait(&swap.done);
		a = value(swap.a);
		b = value(swap.b);
		/*
		 * a to b, then b to a: a has 'a' and b nothing; b to a, then a to b: b has 'b' and
		 * a nothing
		 */
		if (opt.kind == KIND_SHARED ? a != b || (a != 'a' && a != 'b')
					    : !(a == 'a' && b != 'a' && b != 'b' && b >= 0) &&
						      !(b == 'b' && a != 'a' && a != 'b' && a >= 0))
			fail("a swap left", a * 1000 + b);
		munmap(swap.a, LEN);
		munmap(swap.b, LEN);
		atomic_fetch_add(&swaps, 1);
	}
	swap.over = true;
	pthread_barrier_wait(&swap.start);
	return NULL;
}

static void *run_mapper(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		unsigned char *p = mmap(
			NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			fail("mmap", errno);
			return NULL;
		}
		fill(p, 'm');
		sched_yield();
		if (value(p) != 'm')
			fail("another mapping was damaged", value(p));
		munmap(p, LEN);
		atomic_fetch_add(&mapped, 1);
	}
	return NULL;
}

static int begin(void)
{
	if (!shuttle_make(&own, opt.kind, opt.pages, 0x0123000))
		return 1;
	for (unsigned int i = 0; i < RIVALS; i++) {
		race.rivals[i].target =
			mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (race.rivals[i].target == MAP_FAILED) {
			fail("mmap for a race", errno);
			return 1;
		}
	}
	pthread_barrier_init(&race.start, NULL, RIVALS);
	pthread_barrier_init(&race.done, NULL, RIVALS);
	pthread_barrier_init(&swap.start, NULL, 2);
	pthread_barrier_init(&swap.done, NULL, 2);
	start_thread(run_referee, 0);
	for (unsigned int i = 1; i < RIVALS; i++)
		start_thread(run_rival, i);
	start_thread(run_first_swapper, 0);
	start_thread(run_second_swapper, 0);
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_carrier, i);
		start_thread(run_carrier, i + 100);
		start_thread(run_mapper, 0);
	}
	return 0;
}

static bool move(unsigned long nth)
{
	(void)nth;
	return shuttle_move(&own);
}

static bool end(char *what, size_t size)
{
	snprintf(what, size,
		"%lu moves of other threads, %lu races and %lu swaps, %lu mappings beside them",
		atomic_load(&carried), atomic_load(&races), atomic_load(&swaps),
		atomic_load(&mapped));
	return true;
}

static unsigned long least(void)
{
	return smaller(smaller(atomic_load(&carried), atomic_load(&races)),
		smaller(atomic_load(&swaps), atomic_load(&mapped)));
}

const struct scene movers_scene = {"movers", begin, move, least, end};
