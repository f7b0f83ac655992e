/* SPDX-License-Identifier: MIT */
/*
 * remap_prepare(REMAP_PREPARE_MIRROR) (emul/mirror.c) and the list of converted objects
 * (emul/converted.c).
 *
 * Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>

#include "emul/converted.h"
#include "emul/known.h"
#include "libremap.h"

#define LEN ((size_t)1 << 20)

static char *map(int kind)
{
	char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* "rw-s" or "rw-p": how the address is mapped. */
static void assert_mapped(const void *at, const char *how)
{
	char line[256], perms[8] = "";
	unsigned long start, end;
	FILE *f = fopen("/proc/self/maps", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3 &&
			start <= (uintptr_t)at && (uintptr_t)at < end)
			break;
	fclose(f);
	assert_string_equal(perms, how);
}

static void a_heap_is_converted_in_advance(void **state)
{
	struct remap_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	char *p = map(MAP_PRIVATE), *view;

	(void)state;
	memset(p, 7, 5000);
	assert_int_equal(remap_stats(&before), 0);
	assert_int_equal(remap_prepare(p, LEN, REMAP_PREPARE_MIRROR), 0);
	assert_int_equal(remap_stats(&after), 0);
	assert_int_equal(after.bytes_converted, before.bytes_converted + LEN);
	assert_int_equal(after.mirrors, before.mirrors);
	assert_mapped(p, "rw-s");
	assert_true(p[0] == 7 && p[4999] == 7 && p[5000] == 0);
	/* again: nothing is left to do */
	assert_int_equal(remap_prepare(p, LEN, REMAP_PREPARE_MIRROR), 0);
	view = remap_mremap(p, LEN, LEN, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR, NULL);
	assert_true(view != MAP_FAILED);
	assert_int_equal(remap_stats(&before), 0);
	assert_int_equal(before.bytes_converted, after.bytes_converted);
	assert_int_equal(before.mirrors, after.mirrors + 1);
	view[LEN - 1] = 9;
	assert_int_equal(p[LEN - 1], 9);
	munmap(view, LEN);
	munmap(p, LEN);
}

static void what_can_not_be_is_said(void **state)
{
	char *p = map(MAP_PRIVATE), *shared = map(MAP_SHARED);

	(void)state;
	assert_int_equal(remap_prepare(p, LEN, 4), -EINVAL);
	assert_int_equal(remap_prepare(p, LEN, REMAP_PREPARE_MIRROR | 4), -EINVAL);
	assert_int_equal(remap_prepare(p + 1, LEN, REMAP_PREPARE_MIRROR), -EINVAL);
	assert_int_equal(remap_prepare(NULL, LEN, REMAP_PREPARE_MIRROR), -EINVAL);
	assert_int_equal(remap_prepare(p, 0, REMAP_PREPARE_MIRROR), -EINVAL);
	munmap(p + LEN / 2, LEN / 2);
	assert_int_equal(remap_prepare(p, LEN, REMAP_PREPARE_MIRROR), -EFAULT);
	assert_mapped(p, "rw-p");
	munmap(p, LEN / 2);
	assert_int_equal(remap_prepare(p, LEN, REMAP_PREPARE_MIRROR), -EFAULT);
	assert_int_equal(remap_prepare(shared, LEN, REMAP_PREPARE_MIRROR), 0);
	munmap(shared, LEN);
}

/* What is not mapped any more makes room in the list; what is, is not forgotten. */
static void the_list_is_swept(void **state)
{
	char *kept = map(MAP_PRIVATE);

	(void)state;
	assert_int_equal(remap_prepare(kept, LEN, REMAP_PREPARE_MIRROR), 0);
	for (int i = 0; i < 2 * RM_CONVERTED_MAX; i++) {
		char *p = map(MAP_PRIVATE);

		assert_int_equal(remap_prepare(p, 4096, REMAP_PREPARE_MIRROR), 0);
		munmap(p, LEN);
	}
	assert_true(rm_converted_objects <= RM_CONVERTED_MAX);
	assert_true(rm_converted_at((uintptr_t)kept));
	munmap(kept, LEN);
	assert_false(rm_converted_at((uintptr_t)kept));
}

/*
 * The page that is converted next lies before all others: /proc lists them in this order, and is
 * read up to where it is.
 */
static int fill_the_list(void *arg)
{
	const int pages = RM_CONVERTED_MAX + 1;
	char *p = mmap(
		NULL, pages * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	for (int i = pages - 1; i > 0; i--)
		if (remap_prepare(p + i * 4096L, 4096, REMAP_PREPARE_MIRROR))
			return 1;
	/* all are in use */
	if (remap_prepare(p, 4096, REMAP_PREPARE_MIRROR) != -ENOMEM)
		return 2;
	munmap(p + 4096, 4096);
	return remap_prepare(p, 4096, REMAP_PREPARE_MIRROR) ? 3 : 0;
}

static void a_full_list_is_enomem(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(fill_the_list, NULL));
}

#define DONTUNMAP (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP)

/*
 * What was learned of the range when it moved as private memory does not hold any more: it keeps
 * its content from now on.
 */
static int move_before_and_after(void *arg)
{
	struct rm_change change;
	char *p, *first, *second;

	(void)arg;
	rm_known_watch();
	rm_known_begin(&change);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rm_known_end(&change, rm_everything);
	memset(p, 7, LEN);
	first = remap_mremap(p, LEN, LEN, DONTUNMAP, NULL);
	if (first == MAP_FAILED || first[LEN - 1] != 7 || p[LEN - 1])
		return 1;
	memset(p, 8, LEN);
	if (remap_prepare(p, LEN, REMAP_PREPARE_MIRROR))
		return 2;
	second = remap_mremap(p, LEN, LEN, DONTUNMAP, NULL);
	if (second == MAP_FAILED || second[LEN - 1] != 8 || p[LEN - 1] != 8)
		return 3;
	return remap_prepare(p, LEN, REMAP_PREPARE_MIRROR) || !rm_converted_at((uintptr_t)p) ? 4
											     : 0;
}

static void what_was_known_of_it_is_forgotten(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(move_before_and_after, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heap_is_converted_in_advance),
		cmocka_unit_test(what_can_not_be_is_said),
		cmocka_unit_test(the_list_is_swept),
		cmocka_unit_test(a_full_list_is_enomem),
		cmocka_unit_test(what_was_known_of_it_is_forgotten),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	return unit_run(tests);
}
