/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of private file mappings: what was written goes with the pages, the old range
 * shows the file again (semantics.md 2.5). Natively since 5.13. Needs a writable current directory.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/behave/behave.h"

#define PAGES 8

static struct arena a;
static char path[64];

static int make_file(void)
{
	static char page[65536];
	int fd;

	strcpy(path, "./behave-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		behave_skip("no file can be made here");
	for (unsigned int i = 0; i < PAGES + 2; i++) {
		fill(page, PAGE, 70 + i);
		check_is(write(fd, page, PAGE), PAGE);
	}
	return fd;
}

static bool is_file(const char *at, unsigned int from, unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++)
		if (!filled(at + i * PAGE, PAGE, 72 + from + i))
			return false;
	return true;
}

/*
 * The source is written to in pages 1 and 2, shows the file elsewhere; fd may go before the move.
 */
static void map_written(int fd, int prot)
{
	arena_make(&a, PAGES);
	check(mmap(a.source, a.len, RW, MAP_PRIVATE | MAP_FIXED, fd, (off_t)(2 * PAGE)) ==
		a.source);
	check(is_file(a.source, 0, PAGES));
	fill(a.source + PAGE, 2 * PAGE, 1);
	if (prot != RW)
		check(!mprotect(a.source, a.len, prot));
}

static void move_and_check(void)
{
	struct vma before, now;

	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check_is(vma_count(a.source - PAGE, a.len + 2 * PAGE), 3);
	check(vma_at(a.source, &now) && !now.rss);
	check(vma_at(a.target, &now));
	check_is(now.rss, before.rss);
	check(is_file(a.target, 0, 1));
	check(filled(a.target + PAGE, 2 * PAGE, 1));
	check(is_file(a.target + 3 * PAGE, 3, PAGES - 3));
	check(is_file(a.source, 0, PAGES));
	if (before.perms[1] == 'w') { /* two memories */
		fill(a.source, PAGE, 5);
		check(is_file(a.target, 0, 1));
		fill(a.target + a.len - PAGE, PAGE, 6);
		check(is_file(a.source + a.len - PAGE, PAGES - 1, 1));
	}
	arena_end(&a);
}

static void written(void **state)
{
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	move_and_check();
	close(fd);
	unlink(path);
}

static void closed(void **state)
{
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	close(fd);
	move_and_check();
	unlink(path);
}

static void read_only(void **state)
{
	int fd = make_file();

	(void)state;
	map_written(fd, PROT_READ);
	move_and_check();
	close(fd);
	unlink(path);
}

/* The descriptor never could write. */
static void opened_read_only(void **state)
{
	int fd = make_file(), ro;

	(void)state;
	ro = open(path, O_RDONLY | O_CLOEXEC);
	check(ro >= 0);
	close(fd);
	map_written(ro, RW);
	move_and_check();
	close(ro);
	unlink(path);
}

static void renamed(void **state)
{
	int fd = make_file();
	char other[80];

	(void)state;
	map_written(fd, RW);
	close(fd);
	snprintf(other, sizeof(other), "%s-renamed", path);
	check(!rename(path, other));
	move_and_check();
	unlink(other);
}

/* Another file has the name now. */
static void replaced(void **state)
{
	char old_path[80];
	int fd = make_file(), other;

	(void)state;
	map_written(fd, RW);
	snprintf(old_path, sizeof(old_path), "%s-old", path);
	check(!rename(path, old_path));
	other = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(other >= 0 && !ftruncate(other, (off_t)((PAGES + 2) * PAGE)));
	close(other);
	close(fd);
	move_and_check();
	unlink(path);
	unlink(old_path);
}

static void deleted(void **state)
{
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	unlink(path);
	move_and_check();
	close(fd);
}

static void deleted_and_closed(void **state)
{
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	unlink(path);
	close(fd);
	move_and_check();
}

/* A name with spaces, a backslash and a newline, which /proc writes as octal. */
static void strange_name(void **state)
{
	const char *strange = "./behave strange\\134 name\n(deleted)";
	int fd = make_file();

	(void)state;
	check(!rename(path, strange));
	map_written(fd, RW);
	close(fd);
	move_and_check();
	unlink(strange);
}

/* Both offsets are the file's: the middle is not split off, nor merged wrongly. */
static void middle(void **state)
{
	static char page_one[65536]; /* what was written to the first page that moves */
	struct vma now;
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	memcpy(page_one, a.source + 2 * PAGE, PAGE);
	moved(a.source + 2 * PAGE, 3 * PAGE, ONTO, a.target);
	check(vma_at(a.target, &now));
	check_is(now.offset, 4 * PAGE);
	check_is(now.end - now.start, 3 * PAGE);
	check(!memcmp(a.target, page_one, PAGE));
	check(is_file(a.source, 0, 1));
	check(is_file(a.source + 2 * PAGE, 2, PAGES - 2));
	check(is_file(a.target + PAGE, 3, 2));
	check_is(vma_count(a.source, a.len), 1);
	close(fd);
	unlink(path);
	arena_end(&a);
}

static void anywhere(void **state)
{
	struct vma before;
	char *new;
	int fd = make_file();

	(void)state;
	map_written(fd, RW);
	check(vma_at(a.source, &before));
	new = moved(a.source, a.len, ANYWHERE, NULL);
	check_both(&before, a.source, new, a.len, "");
	check(filled(new + PAGE, 2 * PAGE, 1));
	check(is_file(a.source, 0, PAGES));
	check(!munmap(new, a.len));
	close(fd);
	unlink(path);
	arena_end(&a);
}

static void memfd(void **state)
{
	static char page[65536];
	int fd = memfd_create("behave", MFD_CLOEXEC);

	(void)state;
	if (fd < 0)
		behave_skip("no memfd_create");
	for (unsigned int i = 0; i < PAGES + 2; i++) {
		fill(page, PAGE, 70 + i);
		check_is(write(fd, page, PAGE), PAGE);
	}
	map_written(fd, RW);
	move_and_check();
	map_written(fd, RW);
	close(fd);
	move_and_check();
}

/* mmap of /dev/zero: private anonymous memory with a file's name. */
static void dev_zero(void **state)
{
	struct vma before;
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	(void)state;
	if (fd < 0)
		behave_skip("no /dev/zero");
	arena_make(&a, PAGES);
	arena_map(&a, RW, MAP_PRIVATE, fd);
	close(fd);
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	/*
	 * the offset means nothing, and the kernel itself changes it where untouched memory is
	 * moved
	 */
	check_both(&before, a.source, a.target, a.len, "offset");
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

/* Code that runs from a file goes on running at both places. */
static void code(void **state)
{
#if defined(__x86_64__)
	const unsigned char text[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
#else
	const unsigned int text[] = {0x52800540, 0xd65f03c0}; /* mov w0, #42; ret */
#endif
	int (*function)(void), fd = make_file();
	struct vma before;

	(void)state;
	check_is(pwrite(fd, text, sizeof(text), 0), sizeof(text));
	arena_make(&a, PAGES);
	arena_map(&a, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd);
	function = (int (*)(void))(uintptr_t)a.source;
	check_is(function(), 42);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check_is(function(), 42);
	function = (int (*)(void))(uintptr_t)a.target;
	check_is(function(), 42);
	close(fd);
	unlink(path);
	arena_end(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(written, "dontunmap-of-a-private-file-mapping"),
		CASE(closed, "dontunmap-of-a-private-file-that-is-closed"),
		CASE(read_only, "dontunmap-of-a-read-only-private-file"),
		CASE(opened_read_only, "dontunmap-of-a-private-file-opened-read-only"),
		CASE(renamed, "dontunmap-of-a-private-file-that-was-renamed"),
		CASE(replaced, "dontunmap-of-a-private-file-whose-name-is-another-file"),
		CASE(deleted, "dontunmap-of-a-deleted-private-file"),
		CASE(deleted_and_closed, "dontunmap-of-a-deleted-and-closed-private-file"),
		CASE(strange_name, "dontunmap-of-a-private-file-with-a-strange-name"),
		CASE(middle, "dontunmap-of-the-middle-of-a-private-file"),
		CASE(anywhere, "dontunmap-of-a-private-file-to-anywhere"),
		CASE(memfd, "dontunmap-of-a-private-memfd"),
		CASE(dev_zero, "dontunmap-of-private-dev-zero"),
		CASE(code, "dontunmap-of-code-in-a-private-file"),
	};

	return BEHAVE_RUN(cases);
}
