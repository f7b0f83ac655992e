/* SPDX-License-Identifier: MIT */
/*
 * The list of marks (emul/marks.c): what is cut out of one leaves the rest, what is full gives one
 * up; and it is the same list however it came about, by a model that has a word for every page.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "emul/marks.h"
#include "emul/world.h"

#define PAGES	 48
#define AT(page) ((uintptr_t)0x10000000 + (size_t)(page)*rm_page_size())

static struct rm_range pages(size_t first, size_t n)
{
	return (struct rm_range){AT(first), n * rm_page_size()};
}

/* The word of a page, or 0. */
static unsigned int word_of(const struct rm_marks *marks, size_t page)
{
	struct rm_mark mark;
	unsigned int word = 0;
	size_t i = 0;

	while (rm_marks_next(marks, pages(page, 1), &i, &mark)) {
		assert_int_equal(word, 0); /* they do not overlap */
		word = mark.word;
	}
	return word;
}

static void nothing_is_there_at_first(void **state)
{
	static struct rm_marks marks;

	(void)state;
	rm_marks_cut(&marks, pages(0, PAGES));
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(word_of(&marks, i), 0);
}

static void cut_in_the_middle(void **state)
{
	static struct rm_marks marks;
	struct rm_mark mark;
	size_t i = 0;

	(void)state;
	rm_marks_add(&marks, pages(4, 8), 7);
	rm_marks_cut(&marks, (struct rm_range){AT(6), 1}); /* any length is whole pages */
	assert_int_equal(word_of(&marks, 3), 0);
	assert_int_equal(word_of(&marks, 4), 7);
	assert_int_equal(word_of(&marks, 5), 7);
	assert_int_equal(word_of(&marks, 6), 0);
	assert_int_equal(word_of(&marks, 7), 7);
	assert_int_equal(word_of(&marks, 11), 7);
	assert_int_equal(word_of(&marks, 12), 0);
	assert_true(rm_marks_next(&marks, pages(7, 1), &i, &mark));
	assert_true(rm_range_is(mark.range, pages(7, 5)));
	rm_marks_cut(&marks, (struct rm_range){0, SIZE_MAX});
	i = 0;
	assert_false(rm_marks_next(&marks, pages(0, PAGES), &i, &mark));
}

static void a_full_list_gives_one_up(void **state)
{
	static struct rm_marks marks;
	size_t there = 0;

	(void)state;
	for (size_t i = 0; i <= RM_MARKS; i++)
		rm_marks_add(&marks, pages(i, 1), 1 + (unsigned int)i);
	for (size_t i = 0; i <= RM_MARKS; i++)
		there += word_of(&marks, i) == 1 + i;
	assert_int_equal(there, RM_MARKS);
	assert_int_equal(word_of(&marks, RM_MARKS), 1 + RM_MARKS);
}

static void as_the_model(void **state)
{
	static struct rm_marks marks;
	unsigned int model[PAGES] = {0}, seed = 1;

	(void)state;
	for (unsigned int round = 1; round < 20000; round++) {
		size_t first, n, runs = 0;

		seed = seed * 1103515245u + 12345;
		first = (seed >> 16) % PAGES;
		n = 1 + (seed >> 8) % (PAGES - first);
		rm_marks_cut(&marks, pages(first, n));
		for (size_t i = first; i < first + n; i++)
			model[i] = 0;
		for (size_t i = 0; i < PAGES; i++)
			runs += model[i] && (!i || model[i] != model[i - 1]);
		if ((seed & 0x1000000) && runs < RM_MARKS) {
			rm_marks_add(&marks, pages(first, n), round);
			for (size_t i = first; i < first + n; i++)
				model[i] = round;
		}
		for (size_t i = 0; i < PAGES; i++)
			assert_int_equal(word_of(&marks, i), model[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there_at_first),
		cmocka_unit_test(cut_in_the_middle),
		cmocka_unit_test(a_full_list_gives_one_up),
		cmocka_unit_test(as_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
