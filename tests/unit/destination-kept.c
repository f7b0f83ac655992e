/* SPDX-License-Identifier: MIT */
/*
 * A MREMAP_FIXED destination between an attempt that failed when the pages had moved already and
 * the next one: it must not be a hole, for another thread's mmap could be given it, and the next
 * attempt would move the pages onto that. When the call fails in the end nothing of ours is left
 * there. The attempts are made to fail by the engine's test hook. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "emul/exec.h"
#include "emul/sys.h"
#include "libremap.h"

#define PAGE 4096UL
#define LEN  (4 * PAGE)

static char *source, *target;
static int attempts, fail_attempts;
static bool was_hole;

/*
 * Fails what comes after the pages have left, and looks at the destination when an attempt begins.
 */
static int hook(unsigned int step, const struct rm_step *what, bool undo)
{
	if (undo)
		return 0;
	if (!step && attempts++)
		was_hole |= !rm_sys_is_mapped((uintptr_t)target);
	if (attempts > fail_attempts)
		return 0;
	return (what->op == RM_OP_MOVE && what->place == RM_TWIN) ||
			       (what->op == RM_OP_MAP && what->place == RM_SOURCE)
		       ? -ENOMEM
		       : 0;
}

static void *move_with_failures(int n)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	void *r;

	source = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	target = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(source != MAP_FAILED && target != MAP_FAILED);
	/* different, so that they do not merge and are moved as wholes */
	assert_int_equal(mprotect(target, LEN, PROT_READ), 0);
	memset(source, 's', LEN);
	attempts = 0;
	fail_attempts = n;
	was_hole = false;
	rm_exec_test_hook = hook;
	r = remap_mremap(source, LEN, LEN, flags, target);
	rm_exec_test_hook = NULL;
	return r;
}

static void it_is_no_hole_between_attempts(void **state)
{
	(void)state;
	assert_true(move_with_failures(1) == target);
	assert_int_equal(attempts, 2);
	assert_false(was_hole);
	assert_int_equal(target[0], 's');
	assert_int_equal(target[LEN - 1], 's');
	assert_int_equal(source[0], 0);
	munmap(source, LEN);
	munmap(target, LEN);
}

static void nothing_is_left_there_in_the_end(void **state)
{
	(void)state;
	assert_true(move_with_failures(9) == MAP_FAILED);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(attempts, 2);
	assert_false(was_hole);
	assert_int_equal(source[0], 's');
	assert_int_equal(source[LEN - 1], 's');
	for (size_t at = 0; at < LEN; at += PAGE)
		assert_false(rm_sys_is_mapped((uintptr_t)target + at));
	munmap(source, LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_no_hole_between_attempts),
		cmocka_unit_test(nothing_is_left_there_in_the_end),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	return unit_run(tests);
}
