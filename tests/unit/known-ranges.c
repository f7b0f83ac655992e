/* SPDX-License-Identifier: MIT */
/*
 * What is known of ranges (emul/known.c), in a process where this test says what changes: facts are
 * found again and hold; a change that was told, one that is under way, and one of the bounds that
 * nobody told make them untrue, a change elsewhere does not; what changes while facts are read is
 * not kept; descriptors that are closed; the list of ranges that may be armed, also when it is
 * full; and that a child knows nothing. Needs /proc.
 */
#include "tests/unit/unit.h"

#include "emul/facts.h"
#include "emul/known.h"
#include "emul/sys.h"
#include "emul/world.h"

#define PAGE 4096UL
#define RW   (PROT_READ | PROT_WRITE)

static char *area; /* 4 pages in the middle of 12 that are not mapped */

static struct rm_range pages(long first, size_t n)
{
	return (struct rm_range){(uintptr_t)area + (uintptr_t)first * PAGE, n * PAGE};
}

static void map_at(long first, size_t n)
{
	const struct rm_range r = pages(first, n);

	assert_int_equal(
		rm_sys_mmap(r.start, r.len, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		r.start);
}

static void changed(struct rm_range range)
{
	struct rm_change change;

	rm_known_begin(&change);
	rm_known_end(&change, range);
}

static int begin_afresh(void **state)
{
	(void)state;
	rm_sys_munmap(pages(-4, 1).start, 12 * PAGE);
	map_at(0, 4);
	changed(rm_everything);
	return 0;
}

/* Whether facts for these pages are found among what is known, and what they are. */
static bool find(long first, size_t n, unsigned long flags, struct rm_facts *facts)
{
	const struct rm_request request = {
		pages(first, n), 0x10000, RM_MAYMOVE | RM_DONTUNMAP | flags, 0};
	struct rm_entry entry;
	bool found;

	if (rm_world_enter(&entry))
		return false;
	found = rm_known_find(entry.world, &request, facts);
	rm_world_leave(&entry);
	return found;
}

static bool holds(const struct rm_facts *facts)
{
	struct rm_entry entry;
	bool held;

	if (rm_world_enter(&entry))
		return false;
	held = facts->known && rm_known_holds(entry.world, facts);
	rm_world_leave(&entry);
	return held;
}

/* Reads the facts of the 4 pages, as the first move would. */
static void learn(struct rm_facts *facts)
{
	const struct rm_request request = {pages(0, 4), 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
	struct rm_entry entry;
	int r = rm_world_enter(&entry);

	if (!r) {
		r = rm_facts_collect(entry.world, &request, facts);
		rm_world_leave(&entry);
	}
	assert_int_equal(r, 0);
}

static void found_again_and_true(void **state)
{
	struct rm_facts facts, again;

	(void)state;
	assert_false(find(0, 4, 0, &again));
	learn(&facts);
	assert_true(facts.known);
	assert_true(find(0, 4, 0, &again));
	assert_int_equal(again.known_serial, facts.known_serial);
	assert_int_equal(again.vma.start, (uintptr_t)area);
	assert_true(holds(&again));
	assert_true(find(1, 2, 0, &again)); /* a part of it */
	assert_true(holds(&again));
	assert_false(find(-1, 2, 0, &again)); /* not all of it */
	assert_false(find(3, 2, 0, &again));
	assert_false(again.lock_future);
}

static void what_was_told(void **state)
{
	struct rm_facts facts, again;

	(void)state;
	learn(&facts);
	changed(pages(
		4, 2)); /* what begins where it ends, and what ends where it begins, is elsewhere */
	changed(pages(-2, 2));
	assert_true(holds(&facts));
	changed(pages(3, 2));
	assert_false(holds(&facts));
	assert_false(find(0, 4, 0, &again));
	learn(&facts);
	changed(pages(-2, 3));
	assert_false(holds(&facts));
}

static void a_change_under_way(void **state)
{
	struct rm_change change, inner;
	struct rm_facts facts;

	(void)state;
	learn(&facts);
	rm_known_begin(&change);
	rm_known_begin(&inner);
	assert_false(holds(&facts));
	rm_known_end(&inner, pages(8, 1));
	assert_false(holds(&facts)); /* the outer one goes on */
	rm_known_end(&change, pages(8, 1));
	assert_true(holds(&facts));
	/* and nothing is kept meanwhile */
	changed(rm_everything);
	rm_known_begin(&change);
	learn(&facts);
	rm_known_end(&change, pages(8, 1));
	assert_int_equal(facts.known, 0);
}

static void a_change_while_it_is_read(void **state)
{
	const struct rm_request request = {pages(0, 4), 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
	struct rm_facts facts;
	struct rm_entry entry;
	uint32_t mark;
	int r;

	(void)state;
	assert_int_equal(rm_world_enter(&entry), 0);
	mark = rm_known_mark(entry.world);
	r = rm_facts_read(entry.world, &request, &facts);
	changed(pages(8, 1)); /* anywhere: nobody can say what was read before it */
	rm_known_keep(entry.world, mark, &facts);
	rm_world_leave(&entry);
	assert_int_equal(r, 0);
	assert_int_equal(facts.known, 0);
}

/* As libc's malloc and thread stacks do it. */
static void bounds_that_nobody_told(void **state)
{
	struct rm_facts facts;

	(void)state;
	learn(&facts);
	map_at(4, 1);
	area[4 * PAGE] = area[0] = 1;
	assert_false(holds(&facts));
	rm_sys_munmap(pages(4, 1).start, PAGE);
	assert_true(holds(&facts));
	map_at(-1, 1);
	assert_false(holds(&facts));
	rm_sys_munmap(pages(-1, 1).start, PAGE);
	assert_true(holds(&facts));
	rm_sys_munmap(pages(0, 1).start, PAGE);
	assert_false(holds(&facts));
	map_at(0, 4);
	rm_sys_munmap(pages(3, 1).start, PAGE);
	assert_false(holds(&facts));
	map_at(0, 4);
	rm_sys_mprotect(pages(1, 1).start, PAGE, PROT_READ); /* in three */
	assert_false(holds(&facts));
}

static void what_does_not_last(void **state)
{
	struct rm_facts facts;

	(void)state;
	rm_sys_mlock(pages(0, 1).start, 4 * PAGE);
	learn(&facts);
	assert_int_equal(facts.known, 0);
	rm_sys_munlock(pages(0, 1).start, 4 * PAGE);
	learn(&facts);
	assert_true(facts.known);
}

/*
 * More mappings than there are entries: the oldest is given up, and its place does not speak for
 * it.
 */
static void more_than_fit(void **state)
{
	struct rm_facts facts[RM_KNOWN_RANGES + 1];
	char *p = mmap(NULL, 2 * PAGE * (RM_KNOWN_RANGES + 1), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)state;
	assert_true(p != MAP_FAILED);
	for (size_t i = 0; i <= RM_KNOWN_RANGES; i++) {
		struct rm_request request = {
			{(uintptr_t)p + 2 * i * PAGE, PAGE}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
		struct rm_entry entry;
		int r;

		rm_sys_mprotect(request.source.start, PAGE, RW);
		assert_int_equal(rm_world_enter(&entry), 0);
		r = rm_facts_collect(entry.world, &request, &facts[i]);
		rm_world_leave(&entry);
		assert_int_equal(r, 0);
		assert_true(facts[i].known);
	}
	assert_false(holds(&facts[0]));
	for (size_t i = 1; i <= RM_KNOWN_RANGES; i++)
		assert_true(holds(&facts[i]));
	munmap(p, 2 * PAGE * (RM_KNOWN_RANGES + 1));
}

static void a_descriptor_that_is_closed(void **state)
{
	struct rm_change change;
	struct rm_facts facts;
	struct rm_entry entry;

	(void)state;
	learn(&facts);
	assert_int_equal(rm_world_enter(&entry), 0);
	facts.uffd.fd = 7;
	rm_known_keep(entry.world, rm_known_mark(entry.world), &facts);
	rm_world_leave(&entry);
	assert_true(facts.known);
	rm_known_begin(&change);
	rm_known_end_closed(&change, 8, UINT32_MAX);
	rm_known_begin(&change);
	rm_known_end_closed(&change, 0, 6);
	assert_true(holds(&facts));
	rm_known_begin(&change);
	rm_known_end_closed(&change, 3, 7);
	assert_false(holds(&facts));
}

static int child_knows_nothing(void *arg)
{
	struct rm_facts *facts = arg, again;

	return find(0, 4, 0, &again) ? 1 : holds(facts) ? 2 : 0;
}

static void a_child_knows_nothing(void **state)
{
	struct rm_facts facts;

	(void)state;
	learn(&facts);
	assert_child_ok(unit_in_child(child_knows_nothing, &facts));
	assert_true(holds(&facts));
}

static void the_list_of_armed_ranges(void **state)
{
	struct rm_facts facts;

	(void)state;
	learn(&facts);
	assert_true(find(0, 4, RM_FIXED, &facts)); /* onto 0x10000: 4 pages */
	rm_known_armed((struct rm_range){0x13000, PAGE});
	rm_known_armed((struct rm_range){0x13000, PAGE}); /* once is enough */
	assert_false(find(0, 4, RM_FIXED, &facts));
	assert_true(find(0, 4, 0, &facts));		     /* no destination yet */
	rm_known_disarmed((struct rm_range){0x12000, PAGE}); /* not that one */
	assert_true(rm_known_may_be_armed((struct rm_range){0x10000, 4 * PAGE}));
	rm_known_disarmed((struct rm_range){0x12000, 2 * PAGE});
	assert_false(rm_known_may_be_armed((struct rm_range){0x10000, 4 * PAGE}));
	assert_true(find(0, 4, RM_FIXED, &facts));
	/* only a part of what was armed: it may still be */
	rm_known_armed((struct rm_range){0x20000, 4 * PAGE});
	rm_known_disarmed((struct rm_range){0x20000, PAGE});
	assert_true(rm_known_may_be_armed((struct rm_range){0x20000, PAGE}));
	rm_known_disarmed((struct rm_range){0x20000, 4 * PAGE});
	for (uintptr_t i = 0; i < RM_KNOWN_ARMED; i++)
		rm_known_armed((struct rm_range){0x100000 + 2 * i * PAGE, PAGE});
	assert_false(rm_known_may_be_armed((struct rm_range){0x10000, PAGE}));
	rm_known_armed((struct rm_range){0x9000000, PAGE});
	assert_true(rm_known_may_be_armed(
		(struct rm_range){0x10000, PAGE})); /* too many: anything may be */
}

static void nothing_before_somebody_watches(void **state)
{
	struct rm_facts facts;

	(void)state;
	learn(&facts);
	assert_int_equal(facts.known, 0);
	assert_true(facts.lock_future); /* for all that is known */
	rm_known_watch();
	assert_true(rm_known_watching());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_before_somebody_watches, begin_afresh), /* first */
		cmocka_unit_test_setup(found_again_and_true, begin_afresh),
		cmocka_unit_test_setup(what_was_told, begin_afresh),
		cmocka_unit_test_setup(a_change_under_way, begin_afresh),
		cmocka_unit_test_setup(a_change_while_it_is_read, begin_afresh),
		cmocka_unit_test_setup(bounds_that_nobody_told, begin_afresh),
		cmocka_unit_test_setup(what_does_not_last, begin_afresh),
		cmocka_unit_test_setup(more_than_fit, begin_afresh),
		cmocka_unit_test_setup(a_descriptor_that_is_closed, begin_afresh),
		cmocka_unit_test_setup(a_child_knows_nothing, begin_afresh),
		cmocka_unit_test_setup(
			the_list_of_armed_ranges, begin_afresh), /* last: it fills up */
	};

	area = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return 99;
	munmap(area, 16 * PAGE);
	area += 6 * PAGE;
	return unit_run(tests);
}
