/* SPDX-License-Identifier: MIT */
/*
 * A second look at a mapping's attributes (emul/glance.c): every change is seen, nothing that was
 * looked at has changed by it, and what is read for it does not grow with what else is mapped.
 * Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "emul/facts.h"
#include "emul/glance.h"
#include "emul/world.h"

#define MIB   ((size_t)1 << 20)
#define PAGE  rm_page_size()
#define RW    (PROT_READ | PROT_WRITE)
#define LARGE (12 * MIB)

static struct rm_facts facts;
static int verdict;

/* A mapping with nothing beside it, all of it touched. */
static char *map(size_t len)
{
	char *room = mmap(NULL, len + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	     *p = room + PAGE;

	assert_true(room != MAP_FAILED);
	assert_ptr_equal(mmap(p, len, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	memset(p, 7, len);
	return p;
}

static void unmap(char *p, size_t len)
{
	assert_int_equal(munmap(p - PAGE, len + 2 * PAGE), 0);
}

static struct rm_vma at(const void *p)
{
	struct rm_entry entry;
	struct rm_vma vma;
	int r = rm_world_enter(&entry);

	assert_int_equal(r, 0);
	r = rm_maps_find(&entry.world->maps, true, (uintptr_t)p, &vma);
	rm_world_leave(&entry);
	assert_int_equal(r, 1);
	return vma;
}

/* Bytes that this process has read so far. */
static unsigned long bytes_read(void)
{
	char text[512] = "";
	int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
	unsigned long bytes = 0;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		sscanf(text, "rchar: %lu", &bytes);
	close(fd);
	return bytes;
}

static unsigned long cost;

/*
 * What the glance says of the mapping at p after change(p, len) by somebody else, between the two
 * looks.
 */
static void glance_after(char *p, size_t len, void (*change)(char *p, size_t len))
{
	struct rm_request request = {{(uintptr_t)p, len}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
	struct rm_entry entry;
	unsigned long before;
	int r = rm_world_enter(&entry);

	assert_int_equal(r, 0);
	r = rm_facts_read(entry.world, &request, &facts);
	facts.others = true; /* as if */
	if (!r)
		rm_glance_prepare(entry.world, &facts);
	if (!r && !entry.world->glance.ready)
		r = -ENODEV;
	if (change)
		change(p, len);
	before = bytes_read();
	if (!r)
		verdict = rm_glance_check(entry.world, &facts);
	cost = bytes_read() - before;
	if (!r && entry.world->glance.ready)
		r = -EBUSY;
	rm_world_leave(&entry);
	assert_int_equal(r, 0);
}

static void one_mapping(char *p, size_t len, const struct rm_vma *like)
{
	struct rm_vma now = at(p);

	assert_int_equal(now.start, p);
	assert_int_equal(now.end, p + len);
	assert_int_equal(now.vmflags, like->vmflags);
	for (size_t i = 0; i < len; i += PAGE)
		assert_int_equal(p[i], 7);
}

static void the_same(void **state)
{
	const size_t sizes[] = {PAGE, 2 * MIB, 5 * MIB, LARGE, LARGE + 3 * PAGE};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(sizes); i++)
		for (int undumped = 0; undumped < 2; undumped++) {
			char *p = map(sizes[i]);
			struct rm_vma before;

			if (undumped)
				assert_int_equal(madvise(p, sizes[i], MADV_DONTDUMP), 0);
			before = at(p);
			glance_after(p, sizes[i], NULL);
			assert_int_equal(verdict, 0);
			one_mapping(p, sizes[i], &before);
			unmap(p, sizes[i]);
		}
}

static void dontdump(char *p, size_t len)
{
	assert_int_equal(madvise(p, len, MADV_DONTDUMP), 0);
}

static void dodump(char *p, size_t len)
{
	assert_int_equal(madvise(p, len, MADV_DODUMP), 0);
}

static void dontfork(char *p, size_t len)
{
	assert_int_equal(madvise(p, len, MADV_DONTFORK), 0);
}

static void locked(char *p, size_t len)
{
	/* the sanitizer makes nothing of mlock() */
	assert_int_equal(syscall(SYS_mlock, p, len), 0);
}

static void in_part(char *p, size_t len)
{
	assert_int_equal(madvise(p + len / 2, len / 4, MADV_RANDOM), 0);
}

static void protected(char *p, size_t len)
{
	assert_int_equal(mprotect(p, len, PROT_READ), 0);
}

static void replaced(char *p, size_t len)
{
	assert_ptr_equal(mmap(p, len, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	memset(p, 7, len);
}

/*
 * Each is seen, and is what it was made afterwards: no advice is taken back that somebody else has
 * given.
 */
static void changes(void **state)
{
	static void (*const all[])(char *p, size_t len) = {
		dontdump, dontfork, locked, in_part, protected, replaced};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(all); i++)
		for (size_t len = 2 * MIB; len <= LARGE; len = len < LARGE ? LARGE : LARGE + 1) {
			char *p = map(len), *other = map(len);
			struct rm_vma changed, like;

			all[i](other, len);
			like = at(other);
			glance_after(p, len, all[i]);
			changed = at(p);
			assert_int_not_equal(verdict, 0);
			assert_int_equal(changed.vmflags, like.vmflags);
			assert_int_equal(changed.end - changed.start, like.end - like.start);
			unmap(p, len);
			unmap(other, len);
		}
}

static void dump_advice_taken_back(void **state)
{
	char *p = map(LARGE);
	struct rm_vma before = at(p);

	(void)state;
	assert_int_equal(madvise(p, LARGE, MADV_DONTDUMP), 0);
	glance_after(p, LARGE, dodump);
	assert_int_equal(verdict, -ESTALE);
	one_mapping(p, LARGE, &before);
	unmap(p, LARGE);
}

/*
 * What is mapped directly before it, as our own reservations are: no reason to read all of smaps.
 */
static void map_before(char *p, size_t len)
{
	(void)len;
	assert_ptr_equal(
		mmap(p - 4 * MIB, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		p - 4 * MIB);
	assert_ptr_equal(mmap(p - 2 * MIB, MIB, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		p - 2 * MIB);
}

static void neighbours_come(void **state)
{
	const size_t gap = 8 * MIB;
	char *room = map(gap + LARGE), *p = room + gap;
	struct rm_vma before;

	(void)state;
	assert_int_equal(munmap(room, gap), 0);
	before = at(p);
	glance_after(p, LARGE, map_before);
	assert_int_equal(verdict, 0);
	one_mapping(p, LARGE, &before);
	unmap(room, gap + LARGE);
}

static void unreadable(char *p, size_t len)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)p;
	(void)len;
	assert_int_not_equal(dup2(fd, rm_world_peek()->glance.smaps), -1);
	close(fd);
}

/* Nothing is said, and the mapping is in one part again. */
static void descriptor_lost(void **state)
{
	char *p = map(LARGE);
	struct rm_vma before = at(p);

	(void)state;
	glance_after(p, LARGE, unreadable);
	assert_int_equal(verdict, -EAGAIN);
	one_mapping(p, LARGE, &before);
	unmap(p, LARGE);
}

static char *elsewhere;

static void map_elsewhere(char *p, size_t len)
{
	(void)p;
	(void)len;
	elsewhere = map(PAGE);
}

/* What lies elsewhere may come and go: nothing that is not so is said of the mapping. */
static void others_come_and_go(void **state)
{
	char *p = map(LARGE);
	struct rm_vma before = at(p);

	(void)state;
	glance_after(p, LARGE, map_elsewhere);
	assert_true(verdict == 0 || verdict == -EAGAIN);
	one_mapping(p, LARGE, &before);
	unmap(elsewhere, PAGE);
	unmap(p, LARGE);
}

/*
 * Beside it lies what it would merge with, were its end or beginning the piece that is advised for
 * a moment.
 */
static void neighbours(void **state)
{
	const size_t len = 3 * LARGE;
	char *p = map(len);
	struct rm_vma before, low, high;

	(void)state;
	assert_int_equal(madvise(p, LARGE, MADV_DONTDUMP), 0);
	assert_int_equal(madvise(p + 2 * LARGE, LARGE, MADV_DONTDUMP), 0);
	before = at(p + LARGE);
	low = at(p);
	high = at(p + 2 * LARGE);
	glance_after(p + LARGE, LARGE, NULL);
	assert_int_equal(verdict, 0);
	one_mapping(p + LARGE, LARGE, &before);
	one_mapping(p, LARGE, &low);
	one_mapping(p + 2 * LARGE, LARGE, &high);
	unmap(p, len);
}

/*
 * Memory of a process and its child, which has written part of it: parts that differ in nothing but
 * history.
 */
static void inherited(void **state)
{
	char *p = map(LARGE);
	struct rm_vma before = at(p);
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		struct rm_vma now;

		memset(p + LARGE / 2, 7, PAGE);
		glance_after(p, LARGE, NULL);
		now = at(p);
		_exit(verdict || now.end - now.start != LARGE || now.vmflags != before.vmflags);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	glance_after(p, LARGE, NULL);
	assert_int_equal(verdict, 0);
	one_mapping(p, LARGE, &before);
	unmap(p, LARGE);
}

/* Nobody has touched it, or only its end. */
static void untouched(void **state)
{
	char *p = map(LARGE);
	struct rm_vma now;

	(void)state;
	assert_ptr_equal(mmap(p, LARGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	for (int i = 0; i < 2; i++) {
		glance_after(p, LARGE, NULL);
		assert_int_equal(verdict, 0);
		now = at(p);
		assert_int_equal(now.end - now.start, LARGE);
		p[LARGE - 1] = 1;
	}
	unmap(p, LARGE);
}

/* There is room for one more mapping: the kernel cuts it once, and then says that it can not. */
static void one_more_mapping(void **state)
{
	const size_t pages = 1 << 18; /* vm.max_map_count is not larger than this by default */
	char *p = map(LARGE);
	struct rm_vma before = at(p);
	char *crowd = mmap(NULL, pages * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i = 1;

	(void)state;
	assert_true(crowd != MAP_FAILED);
	while (i < pages && !mprotect(crowd + i * PAGE, PAGE, PROT_READ))
		i += 2;
	if (i >= pages) {
		munmap(crowd, pages * PAGE);
		unmap(p, LARGE);
		print_message("# more mappings are allowed than there is time for\n");
		return; /* no skip(): cmocka 1.1.5 calls that "not ok" */
	}
	/*
	 * From the limit, or one below it, to one below it: the last page that is alone goes with
	 * its neighbour's.
	 */
	assert_int_equal(munmap(crowd, PAGE), 0);
	while (!mprotect(crowd + i * PAGE, PAGE, PROT_READ))
		i += 2;
	for (int spare = 0; spare < 2; spare++) {
		glance_after(p, LARGE, NULL);
		assert_int_equal(verdict, -EAGAIN);
		one_mapping(p, LARGE, &before);
		assert_int_equal(munmap(crowd + (size_t)(spare + 1) * PAGE, PAGE), 0);
	}
	glance_after(p, LARGE, NULL);
	assert_int_equal(verdict, 0);
	one_mapping(p, LARGE, &before);
	munmap(crowd, pages * PAGE);
	unmap(p, LARGE);
}

static void little_is_read(void **state)
{
	enum { MANY = 200 };
	char *many[MANY], *p;
	struct rm_entry entry;
	unsigned long before, all;
	struct rm_vma vma;
	int r;

	(void)state;
	if (!bytes_read()) {
		puts("# no /proc/self/io");
		return;
	}
	for (int i = 0; i < MANY; i++)
		many[i] = map(PAGE);
	p = many[0]; /* the kernel goes downwards */
	for (int i = 1; i < MANY; i++)
		p = many[i] > p ? many[i] : p;
	r = rm_world_enter(&entry);
	assert_int_equal(r, 0);
	before = bytes_read();
	r = rm_maps_find(&entry.world->maps, true, (uintptr_t)p, &vma);
	all = bytes_read() - before;
	rm_world_leave(&entry);
	assert_int_equal(r, 1);
	glance_after(p, PAGE, NULL);
	assert_int_equal(verdict, 0);
	printf("# %lu bytes instead of %lu\n", cost, all);
	assert_true(cost < all / 2);
	for (int i = 0; i < MANY; i++)
		unmap(many[i], PAGE);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(the_same),
		cmocka_unit_test(changes),
		cmocka_unit_test(dump_advice_taken_back),
		cmocka_unit_test(neighbours_come),
		cmocka_unit_test(others_come_and_go),
		cmocka_unit_test(descriptor_lost),
		cmocka_unit_test(neighbours),
		cmocka_unit_test(inherited),
		cmocka_unit_test(untouched),
		cmocka_unit_test(one_more_mapping),
		cmocka_unit_test(little_is_read),
	};

	return unit_run(cases);
}
