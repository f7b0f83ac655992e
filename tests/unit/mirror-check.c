/* SPDX-License-Identifier: MIT */
/*
 * The argument rules of MREMAP_MIRROR (emul/mirror.c): every rule broken once, and what is made of
 * the good ones.
 *
 * Needs nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>

#include "emul/mirror.h"
#include "emul/world.h"

#define TASK  0x7ffffffff000ul
#define BASE  0x10000000ul
#define OTHER 0x20000000ul
#define M     (RM_MAYMOVE | RM_MIRROR)
#define MF    (M | RM_FIXED)

static const struct rule {
	uintptr_t old; /* addresses in bytes, lengths in pages, or in bytes from 1 << 30 on */
	size_t old_len, new_len;
	unsigned long flags;
	uintptr_t new;
	int result;
	uintptr_t target;
} rules[] = {
	{BASE, 4, 4, M, 0, 0, 0},
	{BASE, 0, 4, M, 0, 0, 0},
	{BASE, 4, 4, M | RM_POPULATE, OTHER, 0, OTHER},
	{BASE, 4, 4, MF, OTHER, 0, OTHER},
	{BASE, 0, 4, MF, OTHER, 0, OTHER},
	{BASE, 4, 4, MF, 0, 0, 0},
	/* touching is not overlapping */
	{BASE, 4, 4, MF, BASE + 4 * 4096, 0, BASE + 4 * 4096},
	{BASE, 4, 4, MF, BASE - 4 * 4096, 0, BASE - 4 * 4096},
	{BASE, 4, 4, MF, BASE + 3 * 4096, -EINVAL, 0},
	{BASE, 0, 4, MF, BASE + 3 * 4096, -EINVAL, 0},
	{BASE, 0, 4, MF, BASE, -EINVAL, 0},
	{BASE, 0, 4, MF, BASE - 3 * 4096, -EINVAL, 0},
	/* wishes that can not be */
	{BASE, 4, 4, M, BASE + 3 * 4096, 0, 0},
	{BASE, 4, 4, M, OTHER + 1, 0, 0},
	{BASE, 4, 4, M, TASK, 0, 0},
	{BASE, 4, 4, M, ~0xffful, 0, 0},
	/* the last place that there is */
	{BASE, 4, 4, MF, TASK - 4 * 4096, 0, TASK - 4 * 4096},
	{BASE, 4, 4, MF, TASK - 3 * 4096, -EINVAL, 0},
	{BASE, 4, 4, MF, ~0xffful, -EINVAL, 0},
	{BASE, 4, 4, MF, OTHER + 8, -EINVAL, 0},
	/* flags */
	{BASE, 4, 4, RM_MIRROR, 0, -EINVAL, 0},
	{BASE, 4, 4, RM_MIRROR | RM_FIXED, OTHER, -EINVAL, 0},
	{BASE, 4, 4, M | RM_DONTUNMAP, 0, -EINVAL, 0},
	{BASE, 4, 4, M | 8, 0, -EINVAL, 0},
	{BASE, 4, 4, M | 16, 0, -EINVAL, 0},
	{BASE, 4, 4, M | 1ul << 26, 0, -EINVAL, 0},
	{BASE, 4, 4, M | 1ul << 63, 0, -EINVAL, 0},
	/* lengths */
	{BASE, 4, 3, M, 0, -EINVAL, 0},
	{BASE, 3, 4, M, 0, -EINVAL, 0},
	{BASE, 4, 0, M, 0, -EINVAL, 0},
	{BASE, 0, 0, M, 0, -EINVAL, 0},
	{BASE, 0, TASK + 4096, M, 0, -EINVAL, 0},
	{BASE, 0, ~0ul, M, 0, -EINVAL, 0},
	{BASE + 1, 4, 4, M, 0, -EINVAL, 0},
	{~0xffful, 1, 1, MF, OTHER, 0, OTHER}, /* the kernel would look there and find nothing */
};

static size_t bytes(size_t len)
{
	return len >> 30 ? len : len * 4096;
}

static void every_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(rules); i++) {
		const struct rule *t = &rules[i];
		struct rm_request r = {{1, 2}, 3, 4, 0};

		print_message("# rule %zu\n", i);
		assert_int_equal(rm_mirror_check(t->old, bytes(t->old_len), bytes(t->new_len),
					 t->flags, t->new, TASK, &r),
			t->result);
		assert_int_equal(r.source.start, t->result ? 1 : t->old);
		assert_int_equal(r.source.len, t->result ? 2 : bytes(t->new_len));
		assert_int_equal(r.target, t->result ? 3 : t->target);
		assert_int_equal(r.flags, t->result ? 4 : t->flags);
	}
}

/* Lengths count in pages. */
static void lengths_are_rounded(void **state)
{
	struct rm_request r;

	(void)state;
	assert_int_equal(rm_mirror_check(BASE, 4095, 1, M, 0, TASK, &r), 0);
	assert_int_equal(r.source.len, 4096);
	assert_int_equal(rm_mirror_check(BASE, 4097, 4096, M, 0, TASK, &r), -EINVAL);
	assert_int_equal(rm_mirror_check(BASE, 0, 4097, M, 0, TASK, &r), 0);
	assert_int_equal(r.source.len, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule),
		cmocka_unit_test(lengths_are_rounded),
	};

	if (rm_page_size() != 4096)
		return unit_skip_all("pages are not 4096 bytes");
	return unit_run(tests);
}
