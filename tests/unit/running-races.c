/* SPDX-License-Identifier: MIT */
/*
 * Small shared memory moves while other threads run (plan.c, "running"). One of them takes the
 * source away before each of the steps in turn; the executor's test hook does it. Both calls are
 * legal at any time, so the move comes first and has succeeded, or second and is told EFAULT:
 * nothing else. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "emul/exec.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "libremap.h"

#define PAGE  4096UL
#define LEN   (8 * PAGE)
#define STEPS 5 /* of the plan with MREMAP_FIXED */

enum taking { MOVED_AWAY, UNMAPPED, HALF_UNMAPPED, TAKINGS };

static char *source, *target, *elsewhere;
static enum taking taking;
static unsigned int at_step;
static bool taken;

static int hook(unsigned int step, const struct rm_step *what, bool undo)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED;

	if (step == STEPS - 1)
		assert_int_equal(what->op, RM_OP_EMPTY); /* the last one */
	if (undo || step != at_step || taken)
		return 0;
	taken = true;
	if (taking == MOVED_AWAY)
		rm_sys_mremap((uintptr_t)source, LEN, LEN, flags, (uintptr_t)elsewhere);
	else
		rm_sys_munmap((uintptr_t)source, taking == UNMAPPED ? LEN : LEN / 2);
	return 0;
}

static char *map(int flags, int byte)
{
	char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	memset(p, byte, LEN);
	return p;
}

static bool is_all(const char *p, int byte)
{
	for (size_t i = 0; i < LEN; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/* Whether the move came first. */
static bool race(enum taking how, unsigned int step)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	bool moved;
	void *r;

	source = map(MAP_SHARED, 's');
	target = map(MAP_PRIVATE, 't');
	elsewhere = map(MAP_PRIVATE, 'e');
	taking = how;
	at_step = step;
	taken = false;
	rm_exec_test_hook = hook;
	r = remap_mremap(source, LEN, LEN, flags, target);
	rm_exec_test_hook = NULL;
	moved = r == target;
	assert_true(taken);
	if (!moved)
		assert_int_equal(errno, EFAULT);
	else
		assert_true(is_all(target, 's'));
	assert_true(is_all(elsewhere, how == MOVED_AWAY ? 's' : 'e'));
	assert_false(rm_sys_is_mapped((uintptr_t)source));
	if (how == HALF_UNMAPPED)
		assert_int_equal(source[LEN - 1], 's');
	munmap(source, LEN);
	munmap(target, LEN);
	munmap(elsewhere, LEN);
	return moved;
}

static void test_source_taken_away(void **state)
{
	(void)state;
	for (enum taking how = 0; how < TAKINGS; how++) {
		bool moved = false;

		for (unsigned int step = 0; step < STEPS; step++) {
			const uint64_t stops = rm_stat_get(RM_STAT_STOPS);
			const bool before = moved;

			moved = race(how, step);
			assert_true(moved || !before); /* once it was not too late it stays so */
			assert_true(!moved || rm_stat_get(RM_STAT_STOPS) == stops);
		}
		assert_true(moved);
	}
}

static void *stand_by(void *arg)
{
	pthread_mutex_lock(arg);
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_taken_away),
	};
	static pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
	pthread_t other;

	setenv("LIBREMAP_CONF", "native:no", 1);
	pthread_mutex_lock(&end);
	if (pthread_create(&other, NULL, stand_by, &end))
		return 99;
	return unit_run(tests);
}
