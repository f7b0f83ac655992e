/* SPDX-License-Identifier: MIT */
/*
 * Where a move goes when the address is ours to choose (emul/went.c): at the source's offset in 2
 * MiB, or in 1 GiB if it is as large, so that the kernel can move whole page tables; nothing of the
 * detour is left mapped; and where the address space has no room for the detour, anywhere. A range
 * that went to the same place twice goes there again if it is free. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/resource.h>

#include "libremap.h"

#define MIB (1UL << 20)
#define GIB (1UL << 30)

static size_t mapped(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * 4096;
}

static char *reserve(size_t len)
{
	return mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * In a child. Moves len bytes out of a mapping, first of them at page first, to where the kernel
 * puts the next mapping, whatever its length: the gaps that lie higher are filled before.
 */
static int move_into_next_gap(size_t first, size_t len)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *from = mmap(
		NULL, 256 * 4096 + len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *source = from + first * 4096, *to;
	size_t before;

	memset(from, 'x', 256 * 4096 + len);
	for (size_t gap = 64 * MIB; gap >= 4096; gap /= 2)
		for (int i = 0; i < 40; i++)
			(void)reserve(gap);
	to = reserve(len);
	munmap(to, len);
	before = mapped();
	if (remap_mremap(source, len, len, flags, to) != to)
		return 1;
	if (memchr(source, 'x', len) || to[0] != 'x' || to[len - 1] != 'x')
		return 2;
	return mapped() < before + len ? 3 : 0;
}

static int first_call(void *unused)
{
	(void)unused;
	return move_into_next_gap(0, MIB);
}

static int first_call_status = -1; /* of a child that was made before anything else */

static int part_of_a_mapping(void *unused)
{
	(void)unused;
	return move_into_next_gap(1, MIB);
}

/*
 * What the library maps for itself does not come to lie in a destination that is a hole, at the
 * first call nor later.
 */
static void destination_in_the_next_gap(void **state)
{
	(void)state;
	assert_child_ok(first_call_status);
	assert_child_ok(unit_in_child(part_of_a_mapping, NULL));
}

/* Moves len bytes at offset in 1 GiB and back; the difference of the addresses. */
static size_t distance(size_t len, size_t offset)
{
	char *area = mmap(NULL, len + GIB + offset, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *from = (char *)((((uintptr_t)area + GIB - 1) & ~(GIB - 1)) + offset), *to;
	size_t before;

	assert_true(area != MAP_FAILED);
	assert_int_equal(mprotect(from, len, PROT_READ | PROT_WRITE), 0);
	*from = 'x';
	before = mapped();
	to = remap_mremap(from, len, len, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);
	assert_true(to != MAP_FAILED);
	assert_int_equal(mapped(), before + len);
	assert_int_equal(*to, 'x');
	assert_int_equal(*from, 0);
	munmap(to, len);
	munmap(area, len + GIB + offset);
	return (size_t)(to > from ? to - from : from - to);
}

static void whole_page_tables(void **state)
{
	(void)state;
	assert_int_equal(distance(2 * MIB, 0) % (2 * MIB), 0);
	assert_int_equal(distance(2 * MIB, 0x5000) % (2 * MIB), 0);
	assert_int_equal(distance(5 * MIB, 3 * MIB + 0x1000) % (2 * MIB), 0);
	assert_int_equal(distance(GIB, 0x7000) % GIB, 0);
	(void)distance(4096, 0); /* no matter where, but it works */
}

#define WENT_LEN (2 * MIB)

static char *move_anywhere(char *from)
{
	char *to = remap_mremap(
		from, WENT_LEN, WENT_LEN, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);

	assert_true(to != MAP_FAILED);
	assert_int_equal((uintptr_t)(to - from) % (2 * MIB), 0);
	assert_int_equal(*to, 'x');
	assert_int_equal(*from, 0);
	*from = 'x';
	return to;
}

/* A gap is made where the kernel would look first; and then the place is taken. */
static void the_same_place_again(void **state)
{
	char *plug = reserve(2 * WENT_LEN + 2 * MIB), *from = reserve(WENT_LEN + 4096), *place, *to;
	size_t before;

	(void)state;
	assert_true(plug != MAP_FAILED && from != MAP_FAILED);
	assert_int_equal(mprotect(from, WENT_LEN, PROT_READ | PROT_WRITE), 0);
	*from = 'x';
	place = move_anywhere(from);
	munmap(place, WENT_LEN);
	assert_true(move_anywhere(from) == place);
	munmap(place, WENT_LEN);
	munmap(plug, 2 * WENT_LEN + 2 * MIB);
	assert_true(move_anywhere(from) == place);
	before = mapped();
	*place = 'p';
	to = move_anywhere(from);
	assert_true(to + WENT_LEN <= place || to >= place + WENT_LEN);
	assert_int_equal(*place, 'p');
	assert_int_equal(mapped(), before + WENT_LEN);
	/* kept: it goes to yet another place */
	place = move_anywhere(from);
	assert_true(place != to);
	assert_int_equal(*to, 'x');
}

static int no_room(void *unused)
{
	const size_t len = 64 * MIB;
	char *from = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	     *to;
	struct rlimit limit;

	(void)unused;
	/* room for the move as the kernel does it, and for little else */
	limit.rlim_cur = limit.rlim_max = mapped() + len + 1 * MIB;
	if (from == MAP_FAILED || setrlimit(RLIMIT_AS, &limit))
		return 10;
	to = remap_mremap(from, len, len, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);
	return to != MAP_FAILED ? 0 : 1;
}

static void no_room_for_the_detour(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(no_room, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destination_in_the_next_gap),
		cmocka_unit_test(whole_page_tables),
		cmocka_unit_test(the_same_place_again),
		cmocka_unit_test(no_room_for_the_detour),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	first_call_status = unit_in_child(first_call, NULL);
	if (remap_prepare(NULL, 0, 0)) /* its own memory is mapped now */
		return unit_skip_all("nothing can be emulated here");
	return unit_run(tests);
}
