/* SPDX-License-Identifier: MIT */
/*
 * remap_prepare(REMAP_PREPARE_CACHED) and remap_changed() (emul/known.c, emul/api.c), in a program
 * that nobody watches: moves of a prepared range, the first one and back again too, open nothing;
 * others have to; what was changed and told is found out again; what was unmapped and not told is
 * nevertheless treated as what it is; neighbours that came untold do not matter;
 * mlockall(MCL_FUTURE) is seen; a heap that is prepared for mirrors at the same time; a seventeenth
 * range is refused; a child has promised nothing. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/resource.h>

#include "emul/apart.h"
#include "emul/quiesce.h"
#include "libremap.h"

#define PAGE  4096UL
#define LEN   (16 * PAGE)
#define RW    (PROT_READ | PROT_WRITE)
#define FLAGS (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP)

static char *range, *target; /* LEN bytes each, with unmapped pages around */

static void map_at(char *at, int flags)
{
	assert_true(mmap(at, LEN, RW, MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0) == at);
}

/*
 * In place of emul/apart.c: here who has no descriptor has none, so that a look into /proc is found
 * out.
 */
long rm_apart(struct rm_world *world, long (*function)(void *), void *argument)
{
	(void)world;
	(void)function;
	(void)argument;
	return -EMFILE;
}

static int begin(void **state)
{
	char *area = mmap(
		NULL, 6 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)state;
	assert_true(area != MAP_FAILED);
	assert_int_equal(munmap(area, 6 * LEN), 0);
	range = area + LEN;
	target = area + 4 * LEN;
	map_at(range, MAP_PRIVATE);
	return 0;
}

static int end(void **state)
{
	(void)state;
	munmap(range - LEN, 6 * LEN);
	remap_changed(NULL, 0);
	return 0;
}

/*
 * Whether the range can be moved when no file can be opened. Content and emptiness are looked at.
 */
static bool move_blindly(char *from, char *to)
{
	struct rlimit old, none;
	bool moved;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	memset(from, 'x', LEN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	moved = remap_mremap(from, LEN, LEN, FLAGS, to) == to;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (moved)
		assert_true(to[0] == 'x' && to[LEN - 1] == 'x');
	else
		assert_true(from[0] == 'x' && from[LEN - 1] == 'x');
	return moved;
}

static void cached(char *at)
{
	assert_int_equal(remap_prepare(at, LEN, REMAP_PREPARE_CACHED), 0);
}

static void moves_open_nothing(void **state)
{
	(void)state;
	assert_false(move_blindly(range, target));
	assert_int_equal(remap_prepare(range, LEN, 0), 0); /* is no promise */
	assert_false(move_blindly(range, target));
	cached(range);
	for (int i = 0; i < 20; i++) {
		assert_true(move_blindly(range, target));
		assert_int_equal(range[0], 0);
	}
}

/* Two halves of a heap that take turns. */
static void to_and_fro(void **state)
{
	(void)state;
	map_at(target, MAP_PRIVATE);
	cached(range);
	cached(target);
	for (int i = 0; i < 20; i++) {
		assert_true(move_blindly(range, target));
		assert_true(move_blindly(target, range));
	}
}

static void shared_memory(void **state)
{
	(void)state;
	map_at(range, MAP_SHARED);
	cached(range);
	for (int i = 0; i < 3; i++)
		assert_true(move_blindly(range, target));
	assert_int_equal(range[0], 'x');
}

/*
 * A large heap that is to be mirrored, too: its content is still being copied when the promise is
 * taken, by a userfaultfd of the library's, which is none that watches it for somebody else.
 */
static void a_heap_to_be_mirrored(void **state)
{
	const size_t len = (size_t)48 << 20;
	char *room = mmap(
		NULL, 2 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *heap = mmap(room, len, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	struct rlimit old, none;
	char *moved;

	(void)state;
	assert_true(heap == room && room != MAP_FAILED);
	memset(heap, 'h', len);
	assert_int_equal(remap_prepare(heap, len, REMAP_PREPARE_MIRROR | REMAP_PREPARE_CACHED), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	moved = remap_mremap(heap, len, len, FLAGS, heap + len);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(moved == heap + len);
	assert_true(moved[0] == 'h' && moved[len - 1] == 'h' && heap[len / 2] == 'h');
	moved[len / 2] = 'i';
	assert_int_equal(heap[len / 2], 'i'); /* it was converted: two views of one memory */
	munmap(room, 2 * len);
	/* beside the thread that fills it nothing else could be moved blindly */
	for (int i = 0; rm_quiesce_count_threads() != 1 && i < 10000; i++)
		usleep(1000);
	assert_int_equal(rm_quiesce_count_threads(), 1);
}

/* What smaps says of the flags of the mapping at addr. */
static void flags_of(const char *addr, char *flags, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, stop;
	bool here = false;
	char line[512];

	*flags = '\0';
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &stop) == 2)
			here = (unsigned long)addr >= start && (unsigned long)addr < stop;
		else if (here && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, size, "%s", line);
	}
	fclose(f);
}

static void changes_that_are_told(void **state)
{
	char flags[512];

	(void)state;
	cached(range);
	assert_true(move_blindly(range, target));
	assert_int_equal(madvise(range, LEN, MADV_DONTFORK), 0);
	remap_changed(range + PAGE, PAGE);
	assert_false(move_blindly(range, target));
	memset(range, 'y', LEN);
	assert_true(remap_mremap(range, LEN, LEN, FLAGS, target) == target);
	flags_of(range, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dc"));
	assert_true(move_blindly(range, target)); /* the promise stays */
	remap_changed(range - PAGE, PAGE);	  /* elsewhere */
	remap_changed(range + LEN, PAGE);
	assert_true(move_blindly(range, target));
	remap_changed(NULL, 0); /* everywhere */
	assert_false(move_blindly(range, target));
}

/* The bounds are the kernel's: to it, the range is in two pieces. */
static void a_broken_promise(void **state)
{
	(void)state;
	cached(range);
	map_at(target, MAP_PRIVATE);
	memset(target, 't', LEN);
	memset(range, 'x', LEN);
	assert_int_equal(munmap(range + 4 * PAGE, PAGE), 0);
	assert_true(remap_mremap(range, LEN, LEN, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP,
			    NULL) == MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	assert_true(range[0] == 'x' && range[LEN - 1] == 'x');
	/* piece by piece, as 6.17 moves what is FIXED; what is in the gap's place stays */
	assert_true(remap_mremap(range, LEN, LEN, FLAGS, target) == target);
	assert_true(target[0] == 'x' && target[4 * PAGE] == 't' && target[LEN - 1] == 'x');
	assert_true(range[0] == 0 && range[LEN - 1] == 0);
	assert_int_equal(msync(range + 4 * PAGE, PAGE, MS_ASYNC), -1);
}

static void neighbours(void **state)
{
	(void)state;
	cached(range);
	assert_true(move_blindly(range, target));
	/* like libc's own mmap it is not told of; it merges */
	assert_true(mmap(range - LEN, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    MAP_FAILED);
	for (int i = 0; i < 2; i++) { /* what was wrong is read, and then it is kept */
		memset(range, 'n', LEN);
		assert_true(remap_mremap(range, LEN, LEN, FLAGS, target) == target);
		assert_true(target[0] == 'n' && range[0] == 0);
	}
	assert_true(move_blindly(range, target));
	assert_int_equal(munmap(range - LEN, LEN), 0);
	assert_true(remap_mremap(range, LEN, LEN, FLAGS, target) == target);
}

static int what_is_mapped_is_locked(void *unused)
{
	char flags[512];

	(void)unused;
	if (mlockall(MCL_FUTURE))
		return 0; /* RLIMIT_MEMLOCK */
	if (remap_prepare(range, LEN, REMAP_PREPARE_CACHED))
		return 1;
	memset(range, 'l', LEN);
	for (int i = 0; i < 2; i++) {
		if (remap_mremap(range, LEN, LEN, FLAGS, target) != target || *target != 'l')
			return 2;
		flags_of(range, flags, sizeof(flags));
		if (!*flags || strstr(flags, " lo"))
			return 3;
		*range = 'l';
	}
	return 0;
}

static void locked_future(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(what_is_mapped_is_locked, NULL));
}

static int moves_blindly_and_not(void *unused)
{
	(void)unused;
	if (move_blindly(range, target))
		return 1;
	return remap_mremap(range, LEN, LEN, FLAGS, target) == target ? 0 : 2;
}

static void a_child_has_promised_nothing(void **state)
{
	(void)state;
	cached(range);
	assert_true(move_blindly(range, target));
	assert_child_ok(unit_in_child(moves_blindly_and_not, NULL));
}

static int too_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 16; i++)
		if (remap_prepare(range + (size_t)i * PAGE, PAGE, REMAP_PREPARE_CACHED))
			return 1;
	if (remap_prepare(range + 3 * PAGE, PAGE, REMAP_PREPARE_CACHED)) /* again: nothing new */
		return 2;
	return remap_prepare(range, LEN, REMAP_PREPARE_CACHED) == -ENOMEM ? 0 : 3;
}

static void wrong_arguments(void **state)
{
	(void)state;
	assert_int_equal(remap_prepare(NULL, 0, REMAP_PREPARE_CACHED), -EINVAL);
	assert_int_equal(remap_prepare(range + 1, LEN, REMAP_PREPARE_CACHED), -EINVAL);
	assert_int_equal(remap_prepare(range, LEN, 4 | REMAP_PREPARE_CACHED), -EINVAL);
	assert_int_equal(remap_prepare(range + LEN, LEN, REMAP_PREPARE_CACHED), -EFAULT);
	/* what was refused is not promised */
	map_at(range + LEN, MAP_PRIVATE);
	assert_false(move_blindly(range + LEN, target));
	assert_child_ok(unit_in_child(too_many, NULL));
}

static int facts_exact(void)
{
	if (begin(NULL) || remap_prepare(range, LEN, REMAP_PREPARE_CACHED))
		return 1;
	return move_blindly(range, target) ? 2 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(moves_open_nothing, begin, end),
		cmocka_unit_test_setup_teardown(to_and_fro, begin, end),
		cmocka_unit_test_setup_teardown(shared_memory, begin, end),
		cmocka_unit_test_setup_teardown(a_heap_to_be_mirrored, begin, end),
		cmocka_unit_test_setup_teardown(changes_that_are_told, begin, end),
		cmocka_unit_test_setup_teardown(a_broken_promise, begin, end),
		cmocka_unit_test_setup_teardown(neighbours, begin, end),
		cmocka_unit_test_setup_teardown(locked_future, begin, end),
		cmocka_unit_test_setup_teardown(a_child_has_promised_nothing, begin, end),
		cmocka_unit_test_setup_teardown(wrong_arguments, begin, end),
	};
	char command[4200];

	if (argc > 1)
		return facts_exact();
	setenv("LIBREMAP_CONF", "native:no,facts:exact", 1);
	snprintf(command, sizeof(command), "'%s' exact", argv[0]);
	if (system(command))
		return printf("Bail out! facts:exact does not count\n") < 0 ? 0 : 1;
	setenv("LIBREMAP_CONF", "native:no", 1);
	if (remap_prepare(NULL, 0, 0))
		return unit_skip_all("nothing can be emulated here");
	return unit_run(tests);
}
