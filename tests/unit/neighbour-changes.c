/* SPDX-License-Identifier: MIT */
/*
 * Another thread unmaps what lies in front of the source, and has merged with it, every time
 * between the look at it and the stop, and it is there again at the next look (again.h). That may
 * go on for ever, and natively no move would fail for it.
 */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>

#include "emul/exec.h"
#include "emul/features.h"
#include "emul/sys.h"
#include "libremap.h"

#define PAGE	  4096UL
#define LEN	  (8 * PAGE)
#define ENOUGH_NS 50000000u /* for a thread that runs to do it */
#define STEADY	  (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED)

static char *neighbour; /* just in front of the source */
static sem_t asked;
static atomic_uint unmapped, wanted;

static void map_neighbour(void)
{
	assert_ptr_equal(mmap(neighbour, PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		neighbour);
}

static void *run_neighbour(void *arg)
{
	for (;;) {
		while (sem_wait(&asked))
			;
		if (munmap(neighbour, PAGE))
			return arg;
		atomic_fetch_add(&unmapped, 1);
	}
}

static int unmap_before_plan(unsigned int step, const struct rm_step *what, bool undo)
{
	const uint64_t began = rm_sys_now_ns();

	(void)what;
	if (atomic_load(&unmapped) != wanted)
		return 0; /* the thread does not come to it: it is stopped */
	if (undo && !rm_sys_is_mapped((uintptr_t)neighbour))
		map_neighbour();
	if (step || undo)
		return 0;
	wanted++;
	sem_post(&asked);
	while (atomic_load(&unmapped) != wanted && rm_sys_now_ns() - began < ENOUGH_NS)
		sched_yield();
	return 0;
}

/* How often the neighbour was unmapped before the move came. */
static unsigned int unmapped_before(int flags)
{
	const unsigned int before = wanted;
	char *area = mmap(NULL, 4 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *source = area + LEN,
	     *target = mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;

	assert_true(area != MAP_FAILED && target != MAP_FAILED);
	munmap(area, 4 * LEN);
	assert_ptr_equal(mmap(source, LEN, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		source);
	memset(source, 's', LEN);
	neighbour = source - PAGE;
	map_neighbour();
	rm_exec_test_hook = unmap_before_plan;
	p = remap_mremap(source, LEN, LEN, flags, target);
	rm_exec_test_hook = NULL;
	assert_true(p != MAP_FAILED);
	assert_true(flags & REMAP_MREMAP_FIXED ? p == target : p != source);
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(p[i], 's');
	while (atomic_load(&unmapped) != wanted)
		sched_yield();
	munmap(source, LEN);
	munmap(p, LEN);
	return wanted - before;
}

static void test_onto_a_place(void **state)
{
	(void)state;
	assert_in_range(unmapped_before(STEADY | REMAP_MREMAP_DONTUNMAP), 2, 8);
}

static void test_anywhere(void **state)
{
	(void)state;
	assert_in_range(unmapped_before(REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP), 2, 8);
}

static void test_relocation(void **state)
{
	(void)state;
	if (!rm_features_uffd_move()) { /* no skip(): cmocka 1.1.5 calls that "not ok" */
		print_message("# the kernel has no UFFDIO_MOVE\n");
		return;
	}
	assert_in_range(unmapped_before(STEADY | REMAP_MREMAP_RELOCATE_ANON |
					REMAP_MREMAP_MUST_RELOCATE_ANON),
		2, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_onto_a_place),
		cmocka_unit_test(test_anywhere),
		cmocka_unit_test(test_relocation),
	};
	pthread_t other;

	setenv("LIBREMAP_CONF", "native:no", 1);
	if (sem_init(&asked, 0, 0) || pthread_create(&other, NULL, run_neighbour, NULL))
		return 99;
	return unit_run(tests);
}
